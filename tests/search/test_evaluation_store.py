"""The evaluation store: what one search has trained, no other trains again."""

import dataclasses
import json
import multiprocessing
import re
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bqnn.config import Config
from bqnn.errors import JournalError
from bqnn.evaluation.records import Candidate, Evaluation, Status, outcome
from bqnn.search import evaluation_store, journal
from bqnn.search.evaluation_store import EvaluationStore
from bqnn.search.events import Event
from bqnn.search.history import Run
from bqnn.search.master import Limits, search
from bqnn.search.problem import make_candidate
from bqnn.space import nsc
from tests.helpers.searches import (
    DEVICE,
    SPEC,
    TableExecutor,
    digests_of,
    evaluated,
    problem_of,
    replay,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation

# As many epochs as `tabulated` has accuracies.
TRAIN = {"epochs": 2, "batch": 64, "seed": 5}
BLOCK = nsc.parse("1,1,3,0,0")


def _config(**sections: Any) -> Config:
    return tiny_config(**{"train": TRAIN, **sections})


CONFIG = _config()
RUN = Run(CONFIG, SPEC, "f00d", {"jax": "1"})
CANDIDATE = make_candidate(problem_of(CONFIG), BLOCK, 3, 1)
GOOD = Evaluation(Status.OK, (0.25, 0.5), 1, {"train": 1.0}, DEVICE, "worker 1")


def _search(
    workdir: Path,
    store: Path | None,
    config: Config,
    faults: Mapping[int, Status] = {},
    limits: Limits | None = None,
) -> tuple[list[Event], list[Candidate]]:
    """Search with a store; return the events and what was trained."""
    executor, run = TableExecutor(faults=faults), RUN._replace(config=config)
    problem = problem_of(config)
    with journal.create_or_open(workdir) as facts:
        facts.start(run)
        if store is None:
            steps = search(problem, facts, executor, limits or Limits())
            return list(steps), executor.attempts
        with EvaluationStore(store, run, workdir) as shared:
            steps = search(problem, facts, executor, limits or Limits(), shared)
            return list(steps), executor.attempts


def _hashes(candidates: Sequence[Candidate]) -> set[str]:
    return {candidate.hash for candidate in candidates}


def _found(
    directory: Path, run: Run = RUN, candidate: Candidate = CANDIDATE, *devices: str
) -> Evaluation | None:
    with EvaluationStore(directory, run, Path("later")) as store:
        return store.find(candidate, devices or (DEVICE,))


def _filled(directory: Path, evaluation: Evaluation = GOOD) -> None:
    with EvaluationStore(directory, RUN, Path("/runs/first")) as store:
        store.add(CANDIDATE, evaluation)


def test_a_search_trains_nothing_that_another_has_trained(tmp_path: Path) -> None:
    store = tmp_path / "store"
    _, first = _search(tmp_path / "first", store, CONFIG)
    other = _config(search={"seed": 1, "batch": 4})
    alone, all_of_them = _search(tmp_path / "alone", None, other)
    events, second = _search(tmp_path / "second", store, other)
    assert _hashes(first) & _hashes(all_of_them)
    assert _hashes(second) == _hashes(all_of_them) - _hashes(first)
    assert digests_of(events) == digests_of(alone)
    for event in evaluated(events):
        elsewhere = event.evaluation.source
        assert bool(elsewhere) == (event.candidate.hash in _hashes(first))
        assert not elsewhere or event.evaluation.status == Status.REUSED
        assert not elsewhere or elsewhere.startswith(f"{tmp_path}/first, batch ")


@pytest.mark.parametrize("order", ["slot", "arrival"])
def test_the_same_search_again_trains_nothing_at_all(
    tmp_path: Path, order: str
) -> None:
    store = tmp_path / "store"
    config = _config(search={"batch": 4, "order": order})
    first, _ = _search(tmp_path / "first", store, config)
    again, trained = _search(tmp_path / "again", store, config)
    assert not trained
    assert len(evaluated(again)) == len(evaluated(first)) == 24
    assert digests_of(replay(tmp_path / "again")) == digests_of(again)
    assert order == "arrival" or digests_of(again) == digests_of(first)


def test_a_journal_replays_and_goes_on_without_the_store(tmp_path: Path) -> None:
    store, workdir = tmp_path / "store", tmp_path / "second"
    _search(tmp_path / "first", store, CONFIG, limits=Limits(candidates=10))
    alone, _ = _search(tmp_path / "alone", None, CONFIG)
    _search(workdir, store, CONFIG, limits=Limits(candidates=2))
    shutil.rmtree(store)
    with journal.open_readonly(workdir) as facts:
        attempts = facts.history().attempts
    taken = {i for i, (e, *_) in attempts.items() if e.source}
    assert taken
    events, trained = _search(workdir, None, CONFIG)
    assert not taken & {candidate.id for candidate in trained}
    # Twins of a result from elsewhere take it from the journal.
    assert len(_hashes(trained)) == len(trained)
    assert digests_of(events) == digests_of(alone) == digests_of(replay(workdir))


def test_a_result_of_another_search_found_while_one_runs_is_taken(
    tmp_path: Path,
) -> None:
    """The store is asked when a candidate is to start, not when it is asked for."""
    store, workdir = tmp_path / "store", tmp_path / "slow"
    executor = TableExecutor(capacity=1)
    with (
        journal.create_or_open(workdir) as facts,
        EvaluationStore(store, RUN, workdir) as shared,
    ):
        facts.start(RUN)
        steps = search(problem_of(CONFIG), facts, executor, Limits(), shared)
        while not executor.attempts:
            next(steps)
        _search(tmp_path / "quick", store, CONFIG)
        rest = list(steps)
    assert len(executor.attempts) == 1
    assert any(event.evaluation.source for event in evaluated(rest))


def test_a_divergence_is_shared_and_other_failures_are_not(tmp_path: Path) -> None:
    store = tmp_path / "store"
    faults = {0: Status.DIVERGED, 1: Status.FAILED, 2: Status.TIMED_OUT}
    faults[3] = Status.OVER_BUDGET
    _, first = _search(tmp_path / "first", store, CONFIG, faults)
    events, second = _search(tmp_path / "second", store, CONFIG)
    assert _hashes(first[1:4]) <= _hashes(second)
    (diverged, *_) = [
        event.evaluation
        for event in evaluated(events)
        if event.candidate.hash == first[0].hash
    ]
    assert (diverged.status, outcome(diverged)) == ("reused", "diverged")
    assert diverged.source


def test_a_result_says_where_it_came_from(tmp_path: Path) -> None:
    _filled(tmp_path)
    source = "/runs/first, batch 3, slot 1"
    want = Evaluation(Status.OK, (0.25, 0.5), 1, {}, DEVICE, "", "", source)
    assert _found(tmp_path) == want


@pytest.mark.parametrize(
    "run",
    [
        RUN._replace(fingerprint="beef"),
        RUN._replace(versions={"jax": "2"}),
        RUN._replace(images=SPEC._replace(num_classes=11)),
        RUN._replace(config=_config(train={**TRAIN, "learning_rate": 0.1})),
        RUN._replace(config=_config(train={**TRAIN, "threads": 2})),
        RUN._replace(config=_config(network={"widths": (4,), "repeats": 2})),
        RUN._replace(config=_config(network={"widths": (4,), "wiring": "dense"})),
        # It would not have been trained.
        RUN._replace(config=_config(budget={"max_params": 1})),
    ],
)
def test_another_training_is_not_the_same(tmp_path: Path, run: Run) -> None:
    _filled(tmp_path)
    assert _found(tmp_path, run) is None


def test_other_seeds_blocks_and_devices_are_not_the_same(tmp_path: Path) -> None:
    _filled(tmp_path)
    seed = dataclasses.replace(CANDIDATE, seed=1)
    block = make_candidate(problem_of(CONFIG), nsc.parse("1,1,5,0,0"))
    assert _found(tmp_path, RUN, seed) is None
    assert _found(tmp_path, RUN, block) is None
    assert _found(tmp_path, RUN, CANDIDATE, "another") is None
    assert _found(tmp_path, RUN, CANDIDATE, "another", DEVICE)


def test_what_decides_no_training_is_no_part_of_the_key(tmp_path: Path) -> None:
    _filled(tmp_path)
    other = _config(
        search={"seed": 3, "batch": 7}, agent={"schedule": "1.0:9"}, reward={"mu": 0.0}
    )
    assert _found(tmp_path, RUN._replace(config=other))


def test_a_default_network_has_the_key_of_stores_of_before() -> None:
    network = json.loads(evaluation_store._setting(RUN))["network"]
    assert set(network) == {"stem", "widths", "repeats", "width"}


def test_the_seed_of_the_trainings_need_not_be_that_of_the_search() -> None:
    def seed(search: int, train: int | None) -> int:
        values = {**TRAIN, "seed": train}
        config = _config(search={"seed": search}, train=values)
        return make_candidate(problem_of(config), BLOCK).seed

    assert seed(0, 5) == seed(1, 5) != seed(0, 6)
    assert seed(0, None) != seed(1, None)
    # As journals of before have it.
    assert seed(5, None) == seed(0, 5)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SET status = 'failed'", "column status is 'failed': want ok or diverged"),
        ("SET accuracy = '[0.5, 2]'", "column accuracy is 2: want a number from 0"),
        ("SET accuracy = '[0.5]'", "it is ok after 1 epochs: want 2 if it is ok"),
        ("SET accuracy = '[1, 1, 1]', status = 'diverged'", "after 3 epochs: want 2"),
        ("SET accuracy = '['", "column accuracy is '[': want JSON"),
        ("SET restarts = -1", "column restarts is -1: want an integer"),
        ("SET source = X'ff'", "column source is b'\\xff': want text"),
        ("SET error = CAST(X'ff' AS TEXT)", "column error is "),
    ],
)
def test_a_row_of_nonsense_is_one_clear_line(
    tmp_path: Path, statement: str, message: str
) -> None:
    _filled(tmp_path)
    _execute(tmp_path, f"UPDATE evaluations {statement}")
    with pytest.raises(JournalError, match=re.escape(message)) as caught:
        _found(tmp_path)
    text = str(caught.value)
    assert "\n" not in text and text.endswith("remove it, or use another directory")


def _execute(directory: Path, statement: str) -> None:
    connection = sqlite3.connect(directory / evaluation_store.FILE_NAME)
    with connection:
        connection.execute(statement)
    connection.close()


def _damaged(path: Path) -> None:
    path.write_bytes(b"no database at all, but text" * 99)


def _truncated(path: Path) -> None:
    _filled(path.parent)
    path.write_bytes(path.read_bytes()[:6000])


def _empty(path: Path) -> None:
    path.touch()


def _journal(path: Path) -> None:
    with journal.create_or_open(path.parent) as facts:
        facts.start(RUN)
    (path.parent / journal.FILE_NAME).rename(path)


def _newer(path: Path) -> None:
    _filled(path.parent)
    _execute(path.parent, "PRAGMA user_version=9")


def _view(path: Path) -> None:
    _filled(path.parent)
    _execute(path.parent, "CREATE VIEW all_of_it AS SELECT * FROM evaluations")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_damaged, "is damaged or no store of evaluations .*remove it"),
        (_truncated, "is damaged.*remove it, or use another directory"),
        (_empty, "is no store of evaluations: remove it"),
        (_journal, "is no store of evaluations: remove it"),
        (_newer, "schema version 9.*install the newer bqnn"),
        (_view, "holds a view all_of_it: it is no store of evaluations"),
    ],
)
def test_another_file_is_refused_in_one_line(
    tmp_path: Path, make: Any, message: str
) -> None:
    make(tmp_path / evaluation_store.FILE_NAME)
    with pytest.raises(JournalError, match=message) as caught:
        _found(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_directory_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="file"):
        _found(tmp_path / "file" / "store")


def _add_many(directory: Path, number: int) -> None:
    """Open the store, and add 40 results: 20 of this process, 20 that all add."""
    with EvaluationStore(directory, RUN, Path(f"/runs/{number}")) as store:
        for index in range(20):
            for seed in (index, 1000 * (number + 1) + index):
                store.add(dataclasses.replace(CANDIDATE, seed=seed), GOOD)


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "store"
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_add_many, args=(directory, number))
        for number in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    connection = sqlite3.connect(directory / evaluation_store.FILE_NAME)
    ((count,),) = connection.execute("SELECT count(*) FROM evaluations").fetchall()
    connection.close()
    assert count == 4 * 20 + 20
    assert [path for path in directory.iterdir() if path.suffix == ".part"] == []

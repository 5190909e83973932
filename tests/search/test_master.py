"""The search: one trajectory, whatever happens around it."""

import functools
import itertools
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bqnn.config import Config
from bqnn.errors import JournalError, SearchError
from bqnn.evaluation.records import Evaluation, Status
from bqnn.search import journal
from bqnn.search.events import Asked, Evaluated, Event, Told
from bqnn.search.fold import ReplayError, fold
from bqnn.search.history import Run
from bqnn.search.master import search
from bqnn.search.summary import Summary, update
from tests.helpers.paths import ASSETS
from tests.helpers.searches import (
    SPEC,
    TableExecutor,
    problem_of,
    tabulated,
    tiny_config,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")


def _run(
    workdir: Path,
    config: Config,
    executor: TableExecutor | None = None,
    stop_after: int | None = None,
) -> list[Event]:
    """Search until the end, or until `stop_after` new events have come."""
    with journal.create_or_open(workdir) as facts:
        facts.start(Run(config, SPEC, "none", {}))
        events: list[Event] = []
        steps = search(problem_of(config), facts, executor or TableExecutor())
        for event in steps:
            events.append(event)
            if stop_after is not None and _new(events) == stop_after:
                steps.close()
                break
    return events


def _new(events: Sequence[Event]) -> int:
    return sum(not event.recorded for event in events)


def _digests(events: Sequence[Event]) -> list[str]:
    return [event.digest for event in events if isinstance(event, Told)]


def _evaluated(events: Sequence[Event]) -> list[Evaluated]:
    return [event for event in events if isinstance(event, Evaluated)]


def test_a_search_tells_every_batch_in_order(tmp_path: Path) -> None:
    events = _run(tmp_path, tiny_config())
    told = [event for event in events if isinstance(event, Told)]
    assert [event.number for event in told] == list(range(6))
    epsilons = [event.epsilon for event in events if isinstance(event, Asked)]
    assert epsilons == [1.0, 1.0, 0.5, 0.5, 0.1, 0.1]
    assert len(_evaluated(events)) == 24
    for event in _evaluated(events):
        want = tabulated(event.candidate).accuracy
        assert event.evaluation.accuracy == want


@pytest.mark.parametrize("lag", [0, 1, 3, 9])
def test_the_order_of_completion_does_not_matter(tmp_path: Path, lag: int) -> None:
    config = tiny_config(search={"lag": lag})
    rng = np.random.default_rng(0)
    orders = [lambda n: 0, lambda n: n - 1, lambda n: int(rng.integers(n))]
    digests = [
        _digests(_run(tmp_path / str(i), config, TableExecutor(order)))
        for i, order in enumerate(orders)
    ]
    assert digests[0] == digests[1] == digests[2]


def test_lag_says_which_state_a_batch_is_asked_from(tmp_path: Path) -> None:
    for lag in (0, 1, 2):
        _run(tmp_path / str(lag), tiny_config(search={"lag": lag}))
        with journal.open_readonly(tmp_path / str(lag)) as facts:
            asks = facts.history().asks
        assert [asked.told for asked in asks] == [max(0, k - lag) for k in range(6)]


def test_seeds_decide_the_trajectory(tmp_path: Path) -> None:
    one = _digests(_run(tmp_path / "1", tiny_config()))
    same = _digests(_run(tmp_path / "2", tiny_config()))
    other = _digests(_run(tmp_path / "3", tiny_config(search={"seed": 1})))
    assert one == same
    assert one[-1] != other[-1]


def test_a_block_is_trained_once_and_its_twins_take_the_result(tmp_path: Path) -> None:
    executor = TableExecutor()
    events = _evaluated(_run(tmp_path, tiny_config(), executor))
    hashes = [candidate.hash for candidate in executor.attempts]
    assert len(hashes) == len(set(hashes)) < 24
    reused = [e for e in events if e.evaluation.status == Status.REUSED]
    assert len(reused) == 24 - len(hashes)
    for event in reused:
        assert event.evaluation.accuracy == tabulated(event.candidate).accuracy


def test_twins_differ_in_density_and_so_in_reward(tmp_path: Path) -> None:
    # Many identities make many twins of the same function.
    config = tiny_config(agent={"schedule": "1.0:20"}, space={"max_layers": 2})
    rewards: dict[str, set[float]] = {}
    for event in _evaluated(_run(tmp_path, config)):
        rewards.setdefault(event.candidate.hash, set()).add(event.reward)
    assert any(len(values) > 1 for values in rewards.values())


def test_a_search_stopped_after_any_event_goes_on_to_the_same_end(
    tmp_path: Path,
) -> None:
    config = tiny_config()
    whole = _run(tmp_path / "whole", config)
    for stop in range(1, len(whole), 4):
        workdir = tmp_path / str(stop)
        executors = TableExecutor(), TableExecutor()
        _run(workdir, config, executors[0], stop_after=stop)
        events = _run(workdir, config, executors[1])
        assert _digests(events) == _digests(whole)
        attempts = [c.id for e in executors for c in e.attempts]
        assert len(attempts) == len(set(attempts)), "an evaluation was repeated"
        assert len(_evaluated(events)) == 24
        shutil.rmtree(workdir)


def test_a_complete_search_evaluates_nothing_more(tmp_path: Path) -> None:
    first = _run(tmp_path, tiny_config())
    executor = TableExecutor()
    again = _run(tmp_path, tiny_config(), executor)
    assert executor.attempts == []
    assert all(event.recorded for event in again)
    assert _digests(again) == _digests(first)
    assert {e[:3] for e in map(_key, _evaluated(again))} == {
        e[:3] for e in map(_key, _evaluated(first))
    }


def _key(event: Evaluated) -> tuple[Any, ...]:
    return event.candidate, event.evaluation.accuracy, event.reward


def test_a_lost_worker_is_replaced_and_teaches_nothing(tmp_path: Path) -> None:
    config = tiny_config()
    whole = _digests(_run(tmp_path / "whole", config))
    lost = dict.fromkeys((0, 1, 2, 5, 9), Status.WORKER_LOST)
    executor = TableExecutor(faults=lost)
    assert _digests(_run(tmp_path / "lost", config, executor)) == whole
    with journal.open_readonly(tmp_path / "lost") as facts:
        statuses = [e.status for es in facts.history().attempts.values() for e in es]
    assert statuses.count(Status.WORKER_LOST) == 5


def test_a_worker_lost_for_the_fourth_time_counts_as_a_failure(tmp_path: Path) -> None:
    always_first = TableExecutor(
        faults=dict.fromkeys(range(50), Status.WORKER_LOST), capacity=1
    )
    events = _run(tmp_path, tiny_config(), always_first, stop_after=6)
    event = _evaluated(events)[0]
    tries = [c for c in always_first.attempts if c == event.candidate]
    assert len(tries) == 4
    assert event.evaluation.status == Status.FAILED
    assert event.evaluation.error.startswith("lost 4 workers: ")
    problem = problem_of(tiny_config())
    guess = Evaluation(Status.OK, accuracy=(0.1,))
    assert event.reward == problem.reward(event.candidate, guess)


def test_twins_of_a_failure_count_as_failures(tmp_path: Path) -> None:
    events, twins = _run_with_twins(tmp_path, {0: Status.FAILED})
    assert [e.evaluation.status for e in twins[1:]] == ["reused"] * (len(twins) - 1)
    summary = functools.reduce(update, events, Summary(20, 4))
    assert summary.failed == summary.counts[Status.FAILED] == len(twins)
    assert summary.done == 80
    assert summary.causes[Status.FAILED] == "failed on purpose"


def test_twins_of_a_block_that_lost_its_workers_are_tried_anew(tmp_path: Path) -> None:
    lost = dict.fromkeys(range(4), Status.WORKER_LOST)
    # In one batch, and in later ones.
    for batch in (4, 40):
        workdir = tmp_path / str(batch)
        _, twins = _run_with_twins(workdir, lost, batch)
        statuses = [event.evaluation.status for event in twins]
        assert statuses[:3] == ["failed", "ok", "reused"]
        assert set(statuses[3:]) <= {"reused"}
        with journal.open_readonly(workdir) as facts:
            known = facts.result_of(twins[0].candidate.hash)
        assert known and known.status == "ok"


def _run_with_twins(
    workdir: Path, faults: dict[int, Status], batch: int = 4
) -> tuple[list[Event], list[Evaluated]]:
    """Search where the block trained first, whose attempts go wrong, has twins."""
    config = tiny_config(
        agent={"schedule": f"1.0:{80 // batch}"},
        space={"max_layers": 1},
        search={"batch": batch},
    )
    executor = TableExecutor(faults=faults, capacity=1)
    events = _run(workdir, config, executor)
    sha = executor.attempts[0].hash
    twins = [e for e in _evaluated(events) if e.candidate.hash == sha]
    assert len(twins) > 2
    return events, twins


def test_out_of_memory_is_tried_once_more(tmp_path: Path) -> None:
    executor = TableExecutor(faults={0: Status.OUT_OF_MEMORY})
    _run(tmp_path, tiny_config(), executor)
    first = executor.attempts[0]
    assert executor.attempts.count(first) == 2


@pytest.mark.parametrize(
    "status",
    [Status.DIVERGED, Status.OVER_BUDGET, Status.TIMED_OUT, Status.FAILED],
)
def test_a_bad_candidate_teaches_a_random_guess(tmp_path: Path, status: Status) -> None:
    executor = TableExecutor(faults={0: status})
    events = _evaluated(_run(tmp_path, tiny_config(), executor))
    bad = executor.attempts[0]
    assert executor.attempts.count(bad) == 1
    problem = problem_of(tiny_config())
    for event in events:
        if event.candidate.hash != bad.hash:
            continue
        guess = Evaluation(Status.OK, accuracy=(0.1,))
        assert event.reward == problem.reward(event.candidate, guess)
        if event.candidate != bad:
            assert event.evaluation.error.startswith(f"{status}: ")


def test_failures_in_a_row_stop_the_search_and_say_why(tmp_path: Path) -> None:
    executor = TableExecutor(faults=dict.fromkeys(range(99), Status.FAILED))
    with pytest.raises(SearchError, match="5 evaluations failed in a row.*on purpose"):
        _run(tmp_path, tiny_config(), executor)
    assert len(executor.attempts) == 5
    # Failures with a success between them are no row.
    faults = {n: Status.FAILED for n in range(99) if n % 5}
    _run(tmp_path / "other", tiny_config(), TableExecutor(faults=faults))


def _replay(workdir: Path) -> list[Event]:
    with journal.open_readonly(workdir) as facts:
        run, history = facts.run(), facts.history()
    return list(fold(problem_of(run.config), history))


def test_replay_reaches_every_digest(tmp_path: Path) -> None:
    whole = _run(tmp_path, tiny_config())
    assert _digests(_replay(tmp_path)) == _digests(whole)


def _tamper(workdir: Path, statement: str) -> None:
    connection = sqlite3.connect(workdir / journal.FILE_NAME)
    with connection:
        assert connection.execute(statement).rowcount == 1
    connection.close()


@pytest.mark.parametrize(
    ("change", "iteration"),
    [
        ("evaluations SET accuracy = '[0.1, 0.9]' WHERE iteration = 2 AND slot = 1", 2),
        # An epoch that no reward looks at.
        ("evaluations SET accuracy = replace(accuracy, '[0.1,', '[0.2,') "
         "WHERE iteration = 3 AND slot = 0", 3),
        ("evaluations SET status = 'failed' WHERE iteration = 1 AND slot = 0", 1),
        ("candidates SET block = '1,1,5,0,0;2,4,0,0,0' "
         "WHERE iteration = 4 AND slot = 2", 4),
        ("candidates SET flops = '5' WHERE iteration = 4 AND slot = 3", 4),
        ("tells SET digest = 'beef' WHERE number = 3", 3),
        ("asks SET epsilon = 0.7 WHERE iteration = 5", 5),
    ],
)  # fmt: skip
def test_replay_names_the_first_iteration_that_differs(
    tmp_path: Path, change: str, iteration: int
) -> None:
    _run(tmp_path, tiny_config())
    _tamper(tmp_path, f"UPDATE {change}")
    with pytest.raises(ReplayError, match=f"^iteration {iteration}: "):
        _replay(tmp_path)
    with pytest.raises(JournalError, match=f"^iteration {iteration}: "):
        _run(tmp_path, tiny_config())


def test_a_journal_of_schema_version_1_still_replays(tmp_path: Path) -> None:
    # Written by a real search on digits; its digests must come out everywhere.
    shutil.copy(ASSETS / "journal_v1.sqlite", tmp_path / journal.FILE_NAME)
    events = _replay(tmp_path)
    assert _digests(events)[-1].startswith("8d3a1f5a6a4c15bd")
    statuses = [e.evaluation.status for e in _evaluated(events)]
    assert {Status.OK, Status.REUSED} <= set(statuses)


def test_rewards_can_be_recomputed_with_other_weights(tmp_path: Path) -> None:
    events = _evaluated(_run(tmp_path, tiny_config()))
    other = problem_of(tiny_config(reward={"mu": 0.0, "rho": 0.0}))
    for event in events:
        accuracy = other.reward(event.candidate, event.evaluation)
        assert accuracy == event.evaluation.accuracy[-1]


def test_the_seed_of_a_training_depends_on_the_function_alone(tmp_path: Path) -> None:
    seeds: dict[str, set[int]] = {}
    for event in _evaluated(_run(tmp_path, tiny_config(agent={"schedule": "1:20"}))):
        seeds.setdefault(event.candidate.hash, set()).add(event.candidate.seed)
    assert all(len(values) == 1 for values in seeds.values())
    different = set(itertools.chain.from_iterable(seeds.values()))
    assert len(different) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in different)

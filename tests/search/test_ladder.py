"""The ladder: cutoffs by hand, and searches that stop candidates at rungs."""

import dataclasses
import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bqnn.config import TrainConfig
from bqnn.errors import ConfigError
from bqnn.evaluation.records import Candidate, Evaluation, Rung, Status, stopped_at
from bqnn.search import journal, ladder
from bqnn.search.evaluation_store import open_store
from bqnn.search.fold import ReplayError
from bqnn.search.history import Run
from bqnn.search.master import search
from bqnn.search.problem import make_candidate
from bqnn.search.reward import last_accuracy
from bqnn.search.summary import Summary, update
from bqnn.space.nsc import parse
from tests.helpers.searches import (
    DEVICE,
    SPEC,
    TableExecutor,
    digests_of,
    evaluated,
    problem_of,
    replay,
    search_table,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation

EPOCHS = 6
CONFIG = tiny_config(
    train={"epochs": EPOCHS, "rungs": (1, 3), "eta": 2.0},
    agent={"schedule": "1.0:2,0.5:2,0.1:2", "name": "random", "exploration": "types"},
)
CANDIDATE = make_candidate(problem_of(tiny_config()), parse("1,1,3,0,0"))


def _curve(candidate: Candidate) -> tuple[float, ...]:
    """Rise from 0.1 to 0.5 in the first epoch, and on by less and less."""
    digest = hashlib.sha256(candidate.hash.encode()).digest()
    gains = (0.1 + digest[0] / 640, *(byte / 2560 for byte in digest[1:EPOCHS]))
    return tuple(sum(gains[: n + 1]) for n in range(EPOCHS))


def _trained(candidate: Candidate) -> Evaluation:
    """Train epoch by epoch, as `fit` does, on a curve that the block decides."""
    whole, told = _curve(candidate), {r.epoch: r.cutoff for r in candidate.rungs}
    for epoch, accuracy in enumerate(whole, 1):
        if accuracy < told.get(epoch, 0.0):
            return Evaluation(Status.STOPPED, whole[:epoch], device=DEVICE)
    return Evaluation(Status.OK, whole, device=DEVICE)


class CurveExecutor(TableExecutor):
    """Evaluates by `_trained`."""

    def collect(self) -> list[tuple[Candidate, Evaluation]]:
        """Train one of the candidates queued."""
        ((candidate, _),) = super().collect()
        return [(candidate, _trained(candidate))]


def _tell(found: ladder.Ladder, *curves: tuple[float, ...], name: str = "") -> Any:
    batch = []
    for number, curve in enumerate(curves):
        known = dataclasses.replace(CANDIDATE, hash=f"{name}{number}")
        status = Status.OK if len(curve) == 3 else Status.STOPPED
        batch.append((known, Evaluation(status, curve)))
    return ladder.tell(found, batch)


def _rungs(found: ladder.Ladder) -> list[tuple[float, ...]]:
    return [tuple(round(x, 6) for x in rung) for rung in ladder.standing(found).rungs]


def test_cutoffs_and_gains_by_hand() -> None:
    empty = ladder.make(TrainConfig(epochs=3, rungs=(1, 2, 3), eta=2.0))
    # Nothing was seen, so everybody goes on; after the last epoch nobody can.
    assert ladder.standing(empty).rungs == (Rung(1, 0.0, 0.0), Rung(2, 0.0, 0.0))
    one = _tell(empty, (0.3, 0.5, 0.6))
    # Of two, the better one goes on.
    assert _rungs(one) == [(1, 0.3, 0.3), (2, 0.5, 0.1)]
    more = _tell(one, (0.4, 0.4), (0.1,), (0.2,), (0.5, 0.5, 0.9), name="x")
    # Of six, three: the third best of five at rung 1. Of four, two: of three at rung 2.
    assert _rungs(more) == [(1, 0.3, 0.35), (2, 0.5, 0.25)]


def test_a_function_counts_once_as_it_was_told_first() -> None:
    empty = ladder.make(TrainConfig(epochs=3, rungs=(1,), eta=2.0))
    told = _tell(empty, (0.3, 0.5, 0.6))
    assert _tell(told, (0.9, 0.9, 0.9)).curves == told.curves
    twins = [(CANDIDATE, Evaluation(Status.OK, (x, x, x))) for x in (0.1, 0.2)]
    assert ladder.tell(empty, twins).curves == {CANDIDATE.hash: (0.1, 0.1, 0.1)}


@pytest.mark.parametrize("status", [Status.DIVERGED, Status.FAILED, Status.TIMED_OUT])
def test_a_failure_is_nothing_seen(status: Status) -> None:
    empty = ladder.make(TrainConfig(epochs=3, rungs=(1,)))
    failed = CANDIDATE, Evaluation(status, (0.5,))
    assert ladder.tell(empty, [failed]) == empty


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"rungs": (3, 1)}, r"train.rungs is \(3, 1\): want ascending epochs"),
        ({"rungs": (0, 1)}, "want ascending epochs"),
        ({"rungs": (1, 13)}, "want at most train.epochs, 12"),
        ({"eta": 1.0}, "train.eta is 1.0: want a number from 1.5"),
    ],
)
def test_rungs_that_make_no_sense_are_refused(
    train: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**train)


def test_a_stopped_candidate_is_rewarded_as_if_it_gained_what_others_did() -> None:
    problem = problem_of(tiny_config(reward={"mu": 0.0, "rho": 0.0}))
    rungs = Rung(1, 0.5, 0.25), Rung(3, 0.9, 0.2)
    candidate = dataclasses.replace(CANDIDATE, rungs=rungs)
    for status in (Status.STOPPED, Status.REUSED):
        early = Evaluation(status, (0.4,))
        assert problem.reward(candidate, early) == pytest.approx(0.65)
        assert last_accuracy(candidate, early) is None
    # No accuracy is above 1.
    late = Evaluation(Status.STOPPED, (0.6, 0.8, 0.85))
    assert problem.reward(candidate, late) == 1.0
    whole = Evaluation(Status.OK, (0.6, 0.8, 0.95, 0.9, 0.9, 0.9))
    assert problem.reward(candidate, whole) == last_accuracy(candidate, whole) == 0.9


def test_a_search_stops_what_is_worse_and_replays(tmp_path: Path) -> None:
    events = evaluated(search_table(tmp_path, CONFIG, CurveExecutor()))
    first, *_, last = events
    assert [rung.cutoff for rung in first.candidate.rungs] == [0.0, 0.0]
    assert all(rung.cutoff > 0 for rung in last.candidate.rungs)
    lengths = {len(event.evaluation.accuracy) for event in events}
    assert lengths == {1, 3, EPOCHS}
    for event in events:
        rung = stopped_at(event.candidate, event.evaluation)
        assert (rung is None) == (len(event.evaluation.accuracy) == EPOCHS)
    assert digests_of(replay(tmp_path)) == digests_of(
        search_table(tmp_path, CONFIG, CurveExecutor())
    )
    # Only a whole training makes a best block.
    summary = Summary(6, 4)
    for event in events:
        summary = update(summary, event)
    assert summary.stopped > 0
    assert summary.failed == 0
    assert all(len(e.evaluation.accuracy) == EPOCHS for e in summary.best)


@pytest.mark.parametrize("order", ["slot", "arrival"])
def test_stops_do_not_depend_on_workers_and_interruptions(
    tmp_path: Path, order: str
) -> None:
    values = dataclasses.replace(CONFIG.search, order=order)
    config = dataclasses.replace(CONFIG, search=values)
    for name, capacity, stop in (("one", 1, None), ("many", 7, None), ("cut", 3, 11)):
        backwards = CurveExecutor(lambda count: count - 1, capacity=capacity)
        search_table(tmp_path / name, config, backwards, stop_after=stop)
        search_table(tmp_path / name, config, CurveExecutor(capacity=capacity))
    found = {name: digests_of(replay(tmp_path / name)) for name in ("one", "many")}
    if order == "slot":
        assert found["one"] == found["many"] == digests_of(replay(tmp_path / "cut"))


def test_a_whole_training_of_the_store_is_cut_where_it_would_have_stopped(
    tmp_path: Path,
) -> None:
    whole = dataclasses.replace(CONFIG.train, rungs=(), seed=0)
    for name, train in (
        ("whole", whole),
        ("cut", dataclasses.replace(whole, rungs=(1, 3))),
        ("alone", dataclasses.replace(whole, rungs=(1, 3))),
    ):
        run = Run(dataclasses.replace(CONFIG, train=train), SPEC, "none", {})
        store, workdir = None if name == "alone" else tmp_path, tmp_path / name
        executor = CurveExecutor()
        with (
            journal.create_or_open(workdir) as facts,
            open_store(store, run, workdir) as kept,
        ):
            facts.start(run)
            list(search(problem_of(run.config), facts, executor, store=kept))
        # A random search asks the same blocks, whatever it is told.
        assert bool(executor.attempts) == (name != "cut")
    assert digests_of(replay(tmp_path / "cut")) == digests_of(
        replay(tmp_path / "alone")
    )


def test_a_replay_finds_another_cutoff(tmp_path: Path) -> None:
    search_table(tmp_path, CONFIG, CurveExecutor())
    with sqlite3.connect(tmp_path / journal.FILE_NAME) as facts:
        facts.execute(
            "UPDATE asks SET rungs = '[[1, 0.0, 0.0], [3, 0.5, 0.0]]' "
            "WHERE iteration = 1"
        )
        facts.execute("UPDATE evaluations SET status = 'ok' WHERE status = 'stopped'")
    with pytest.raises(ReplayError, match=r"^iteration 1: rungs differ: .*0\.5"):
        replay(tmp_path)

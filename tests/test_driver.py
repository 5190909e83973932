"""A whole search in one call, with an objective of one's own or on images."""

from collections.abc import Callable
from pathlib import Path

import pytest

import bqnn
from bqnn.data import load
from bqnn.driver import run
from bqnn.errors import ConfigError, JournalError, SearchError
from bqnn.executors.executor import Options
from bqnn.search import journal
from bqnn.search.fold import fold
from bqnn.search.problem import make_problem
from bqnn.space.nsc import Block
from tests.helpers.searches import tiny_config

pytestmark = pytest.mark.quick_compilation

CONFIG = bqnn.Config(
    space=bqnn.SpaceConfig(max_layers=3),
    search=bqnn.SearchConfig(batch=4),
    agent=bqnn.AgentConfig(schedule="1.0:4,0.5:2"),
)


def objective(block: Block) -> float:
    return len(block.sinks) / 4


def _replays(workdir: Path) -> str:
    """Refold the journal, which checks every digest, and return the last one."""
    with journal.open_readonly(workdir) as opened:
        recorded = opened.run()
        history = opened.history()
    for _ in fold(make_problem(recorded.config, recorded.images), history):
        pass
    return history.tells[-1].digest


def test_the_agent_is_told_what_the_objective_returns(tmp_path: Path) -> None:
    asked: list[str] = []

    def counting(block: Block) -> float:
        asked.append(bqnn.canonical_hash(block))
        return objective(block)

    found = run(CONFIG, tmp_path, counting)
    assert found.complete and found.done == 24
    # Once for blocks that compute the same function.
    assert len(asked) == len(set(asked)) == 24 - found.reused
    best = found.best[0]
    assert best.reward == objective(best.candidate.block)
    record = bqnn.read(tmp_path)
    assert record is not None
    assert [row.reward for row in record.rows()] == [
        pytest.approx(row.accuracy) for row in record.rows()
    ]
    assert _replays(tmp_path) == found.digest


def test_a_search_begins_with_what_is_known(tmp_path: Path) -> None:
    run(CONFIG, tmp_path / "old", objective)
    first: list[Block | str] = ["1,1,3,0,0;2,2,3,1,0", bqnn.parse("1,4,0,0,0")]

    def begin() -> str:
        learn_from = [tmp_path / "old"]
        return run(
            CONFIG, tmp_path / "new", objective, learn_from=learn_from, try_first=first
        ).digest

    assert begin() == begin() == _replays(tmp_path / "new")
    with journal.open_readonly(tmp_path / "new") as opened:
        history = opened.history()
    assert len(history.given.learnt) == 24
    asked = [str(c.block) for c in history.asks[0].candidates]
    assert asked[:2] == ["1,1,3,0,0;2,2,3,1,0;3,7,0,0,0", "1,4,0,0,0;2,7,0,0,0"]
    with pytest.raises(JournalError, match="learnt from .*old, not from no other"):
        run(CONFIG, tmp_path / "new", objective)
    with pytest.raises(ConfigError, match="evaluations keeps trainings: leave it out"):
        run(CONFIG, tmp_path / "new", objective, evaluations=tmp_path)


def test_an_interrupted_search_goes_on_with_the_same_call(tmp_path: Path) -> None:
    peaceful = run(CONFIG, tmp_path / "peace", objective).digest
    calls = iter(range(1000))
    stop = Options(interrupted=lambda: next(calls) == 7)
    with pytest.raises(KeyboardInterrupt):
        run(CONFIG, tmp_path / "war", objective, options=stop)
    with journal.open_readonly(tmp_path / "war") as opened:
        assert 0 < opened.history().trained < 24
    assert run(CONFIG, tmp_path / "war", objective).digest == peaceful
    assert run(CONFIG, tmp_path / "war", objective).fresh == 0


def test_another_objective_does_not_go_on_with_a_search(tmp_path: Path) -> None:
    run(CONFIG, tmp_path, objective)
    message = "search by objective .*objective, not by objective .*<lambda>"
    with pytest.raises(JournalError, match=message):
        run(CONFIG, tmp_path, lambda block: 0.5)
    with pytest.raises(ConfigError, match="objective is 'x': want a function"):
        run(CONFIG, tmp_path, "x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        (lambda block: 3.2, "returned 3.2: want a number from 0 to 1"),
        (lambda block: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda block: None, "TypeError"),
    ],
)
def test_an_objective_that_fails_ends_the_search_and_says_why(
    tmp_path: Path, broken: Callable[[Block], float], cause: str
) -> None:
    with pytest.raises(SearchError, match=f"5 evaluations failed in a row.*{cause}"):
        run(CONFIG, tmp_path, broken)
    with journal.open_readonly(tmp_path) as opened:
        ((attempt, *_), *_) = opened.history().attempts.values()
    assert attempt.status == "failed" and "Traceback" in attempt.error


def test_nan_is_a_candidate_that_diverged(tmp_path: Path) -> None:
    found = run(CONFIG, tmp_path, lambda block: float("nan"))
    assert found.complete and not found.best
    assert {str(status) for status in found.failures} == {"diverged"}


def test_without_an_objective_blocks_are_trained(tmp_path: Path) -> None:
    config = tiny_config(
        data={"name": "digits", "validation": 0.5},
        network={"stem": "small", "widths": (4,), "repeats": 1},
        agent={"schedule": "1.0:1"},
        search={"batch": 1},
        train={"epochs": 1},
    )
    found = run(config, tmp_path, executor="inline")
    assert found.complete and found.best[0].evaluation.accuracy
    with journal.open_readonly(tmp_path) as opened:
        assert opened.run().fingerprint == load(config.data).fingerprint()


def test_an_executor_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="executor is 'slurm': want inline or"):
        run(CONFIG, tmp_path, executor="slurm")

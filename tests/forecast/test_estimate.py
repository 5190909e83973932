"""Estimates of real searches, in this process."""

import dataclasses
import io
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from bqnn.data import load
from bqnn.errors import ConfigError, SearchError
from bqnn.evaluation.records import Status
from bqnn.executors.activity import Activity
from bqnn.executors.executor import Attempt
from bqnn.forecast.estimate import estimate
from bqnn.forecast.trials import TrialWorker
from bqnn.report.forecast_tables import forecast_table
from bqnn.search.problem import make_candidate
from bqnn.space import nsc
from tests.helpers.searches import TableExecutor, problem_of, tiny_config

CONFIG = tiny_config()


class ThreeWorkers(TableExecutor):
    """Times eight candidates beside each other, and whatever follows alone."""

    def collect(self) -> list[Attempt]:
        """Take 1.5 seconds for an epoch beside others, and one alone."""
        ((candidate, evaluation),) = super().collect()
        epoch = 1.5 if len(self.attempts) <= 8 else 1.0
        seconds = {"preparation": 0.5, "epoch": epoch, "memory": 1e6}
        return [(candidate, dataclasses.replace(evaluation, seconds=seconds))]

    def activities(self) -> list[Activity]:
        """Be three."""
        return [Activity(f"worker {n}", True, "", 0.0) for n in range(3)]


@pytest.mark.quick_compilation
@pytest.mark.parametrize("engine", ["walk", "scan"])
def test_a_candidate_is_timed_with_every_engine(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bqnn.forecast.trials._SECONDS", 0.01)
    config = tiny_config(train={"engine": engine}, space={"max_layers": 1})
    candidate = make_candidate(problem_of(config), nsc.parse("1,1,1,0,0;2,7,0,0,0"))
    steps = []

    def interrupted() -> bool:
        steps.append(1)
        return False

    found = TrialWorker(config, load(config.data)).run(candidate, (), interrupted)
    assert (found.status, found.error) == (Status.OK, "")
    assert min(found.seconds[name] for name in ("preparation", "epoch", "memory")) > 0
    assert steps


@pytest.mark.quick_compilation
def test_a_search_is_fitted_into_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What this process has done before counts as the start of a search.
    monkeypatch.setattr(time, "process_time", lambda: 0.0)
    seen, workers = set(), [1, 2]

    def on_progress(what: str, done: int, total: int) -> None:
        assert 0 < done <= total
        seen.add(what)

    none = tmp_path / "none"
    ((config, forecast),) = estimate(
        CONFIG, none, workers, ThreeWorkers(), on_progress=on_progress
    )
    assert config == CONFIG
    assert seen == {"simulating searches", "timing candidates"}
    measured = forecast.measured
    assert (len(measured.trials), measured.workers, measured.slower) == (8, 3, 1.5)
    rest = forecast.by_workers[2].expected - measured.start
    hours = (measured.start + 0.8 * rest) / 3600
    _, (fitting, fitted) = estimate(CONFIG, none, workers, ThreeWorkers(), hours)
    assert fitted.by_workers[2].expected <= 3600 * hours
    assert fitting.agent.schedule != CONFIG.agent.schedule
    assert fitting.train == CONFIG.train  # one epoch has no rungs
    assert not [*tmp_path.iterdir()]


def test_a_front_with_repeats_is_estimated(tmp_path: Path) -> None:
    config = tiny_config(
        agent={"schedule": "1.0:2", "name": "random", "goal": "front"},
        reward={"kind": "accuracy", "cost": "flops"},
        train={"epochs": 9, "batch": 64, "repeats": 3},
    )
    _, forecast = next(estimate(config, tmp_path, [1], ThreeWorkers()))
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(forecast_table(forecast, config, "the search"))
    found = re.search(
        r"for ([\d.]+) epochs, its repeats of 9 each included", console.export_text()
    )
    assert found and 9 < float(found[1]) <= 27


def test_what_does_not_fit_is_an_error(tmp_path: Path) -> None:
    found = estimate(CONFIG, tmp_path, [1], ThreeWorkers(), 0.0)
    assert next(found)[0] == CONFIG
    with pytest.raises(ConfigError, match="does not fit into 0 hours"):
        next(found)


def test_a_candidate_that_cannot_be_trained_is_an_error(tmp_path: Path) -> None:
    executor = ThreeWorkers(faults={3: Status.DIVERGED})
    with pytest.raises(SearchError, match="cannot be trained: diverged on purpose"):
        next(estimate(CONFIG, tmp_path, [1], executor))


def test_all_over_the_budget_is_an_error(tmp_path: Path) -> None:
    config = tiny_config(budget={"max_params": 1})
    with pytest.raises(ConfigError, match="all of 24 blocks .* budget: .*max_latency"):
        next(estimate(config, tmp_path, [1], ThreeWorkers()))


def test_an_interrupt_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(estimate(CONFIG, tmp_path, [1], ThreeWorkers(), None, interrupt))
    assert not [*tmp_path.iterdir()]

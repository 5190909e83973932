"""Estimates of real searches, in this process."""

from pathlib import Path

import pytest

from bqnn.data import load
from bqnn.errors import ConfigError
from bqnn.evaluation.evaluate import on_device
from bqnn.forecast.estimate import estimate, fit_into
from bqnn.forecast.simulation import play
from bqnn.forecast.trials import run_trial, spread
from tests.helpers.searches import tiny_config

CONFIG = tiny_config()


@pytest.mark.quick_compilation
@pytest.mark.parametrize("engine", ["walk", "scan"])
def test_a_candidate_is_timed_with_every_engine(engine: str) -> None:
    config = tiny_config(train={"engine": engine}, space={"max_layers": 1})
    dataset, steps = on_device(load(config.data)), []
    drawn = play(config, dataset, ["some"]).expected.batches[0]
    (chosen,) = spread([x.candidate for x in drawn], 1)
    trial = run_trial(chosen, config, dataset, lambda: steps.append(1))
    assert trial.candidate == chosen
    assert trial.preparation > 0
    assert trial.epoch > 0
    assert steps


@pytest.mark.quick_compilation
def test_a_search_is_fitted_into_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bqnn.forecast.estimate._TRIALS", 3)
    monkeypatch.setattr("bqnn.forecast.trials._SECONDS", 0.05)
    seen = set()
    found = estimate(
        CONFIG, tmp_path / "none", [1, 2], on_progress=lambda what, *_: seen.add(what)
    )
    assert seen == {
        "compiling layer programs",
        "simulating searches",
        "timing candidates",
    }
    assert not [*tmp_path.iterdir()]
    start = found.measured.start
    rest = found.forecast.by_workers[2].expected - start
    hours = (start + 0.8 * rest) / 3600
    fitting, forecast = fit_into(found, hours, lambda *_: None)
    assert forecast.by_workers[2].expected <= 3600 * hours
    assert fitting.agent.schedule != CONFIG.agent.schedule
    assert fitting.train == CONFIG.train  # one epoch has no rungs
    with pytest.raises(ConfigError, match="does not fit into 0 hours"):
        fit_into(found, 0.0, lambda *_: None)
    with pytest.raises(ConfigError, match="the search has begun"):
        fit_into(found._replace(done=frozenset({(0, 0)})), 1.0, lambda *_: None)


def test_all_over_the_budget_is_an_error(tmp_path: Path) -> None:
    config = tiny_config(budget={"max_params": 1}, train={"engine": "step"})
    with pytest.raises(ConfigError, match="all of 24 blocks drawn are over the budget"):
        estimate(config, tmp_path, [1])


def test_an_interrupt_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    config = tiny_config(train={"engine": "step"})
    with pytest.raises(KeyboardInterrupt):
        estimate(config, tmp_path, [1], on_progress=interrupt)
    assert not [*tmp_path.iterdir()]

"""A search with made-up accuracies, beside the search itself."""

import dataclasses
import functools
from pathlib import Path

import pytest

from bqnn.evaluation.records import Status
from bqnn.executors.executor import Attempt
from bqnn.forecast.simulation import Simulation, epochs_of, made_up, play, simulate
from tests.helpers.searches import (
    SPEC,
    TableExecutor,
    evaluated,
    problem_of,
    run_search,
    tiny_config,
)

CONFIG = tiny_config(train={"epochs": 9, "rungs": (1, 3)}, search={"lag": 1})


class MadeUp(TableExecutor):
    """Evaluates as a simulation does."""

    def collect(self) -> list[Attempt]:
        """Evaluate one of the candidates queued."""
        ((candidate, _),) = super().collect()
        return [(candidate, made_up(problem_of(CONFIG), 0.7, candidate))]


def _simulate(share: float) -> Simulation:
    problem = problem_of(CONFIG)
    return tuple(simulate(problem, functools.partial(made_up, problem, share)))


def test_it_is_the_search_that_has_these_accuracies(tmp_path: Path) -> None:
    simulation = _simulate(0.7)
    assert [len(batch) for batch in simulation] == [4] * 6
    found = {c.id: (c, e) for batch in simulation for c, e in batch}
    events = evaluated(run_search(tmp_path, CONFIG, MadeUp()))
    assert len(events) == 24
    for event in events:
        assert found[event.candidate.id] == (event.candidate, event.evaluation)


def test_a_block_is_trained_once_and_stops_at_rungs_once_others_were_told() -> None:
    flat = [attempt for batch in _simulate(0.7) for attempt in batch]
    trained = [(c, e) for c, e in flat if epochs_of(e)]
    assert len({c.hash for c, _ in flat}) == len(trained)
    assert all(epochs_of(e) == 9 for c, e in trained if c.iteration < 2)
    assert any(e.status == Status.STOPPED for _, e in trained)
    for _, e in flat:
        wanted = {Status.OK: {9}, Status.STOPPED: {1, 3}, Status.REUSED: {0}}
        assert epochs_of(e) in wanted[e.status]


def test_the_larger_block_is_the_better_where_size_alone_decides() -> None:
    flat = [c for batch in _simulate(0.7) for c, _ in batch]
    plain = [dataclasses.replace(candidate, rungs=()) for candidate in flat]
    small, *_, large = sorted(plain, key=lambda candidate: candidate.block_flops)
    worst, best = (made_up(problem_of(CONFIG), 1.0, c).accuracy for c in (small, large))
    assert 0 < worst[-1] < best[-1] < 1


def test_what_is_over_the_budget_is_not_trained() -> None:
    config = tiny_config(budget={"max_params": 1})
    played = play(config, SPEC)
    found = {(e.status, epochs_of(e)) for batch in played.expected for _, e in batch}
    assert found <= {(Status.OVER_BUDGET, 0), (Status.REUSED, 0)}
    assert played.trained == []


def test_a_long_search_is_played_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bqnn.forecast.simulation.MOST_SIMULATED", 9)
    counts = []
    played = play(CONFIG, SPEC, lambda *count: counts.append(count))
    assert counts == [(number, 15) for number in range(1, 16)]
    sizes = [len(batch) for batch in played.expected]
    assert (sizes, played.config) == ([4, 4, 4], CONFIG)
    flops = [
        sum(epochs_of(e) * c.network_flops for batch in simulation for c, e in batch)
        for simulation in played.simulations
    ]
    assert flops == sorted(flops)

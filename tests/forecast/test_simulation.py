"""A search with made-up accuracies, beside the search itself."""

from pathlib import Path

import pytest

from bqnn.data import load
from bqnn.evaluation.records import Status
from bqnn.forecast.simulation import SHARES, Simulation, play, simulate
from tests.helpers.searches import evaluated, problem_of, search_table, tiny_config

CONFIG = tiny_config(train={"epochs": 9, "rungs": (1, 3)}, search={"lag": 1})
DATASET = load(CONFIG.data)


def _simulate(share: float = SHARES[0]) -> Simulation:
    return simulate(problem_of(CONFIG), DATASET, share)


def test_it_asks_what_the_search_asks_before_it_has_learnt(tmp_path: Path) -> None:
    simulation = _simulate()
    assert [len(batch) for batch in simulation.batches] == [4] * 6
    found = {
        x.candidate.id: x.candidate.block for batch in simulation.batches for x in batch
    }
    events = evaluated(search_table(tmp_path, CONFIG))
    for event in events:
        if event.candidate.iteration < 2:
            assert found[event.candidate.id] == event.candidate.block
    assert _simulate() == simulation


def test_a_block_is_trained_once_and_stops_at_rungs_once_others_were_told() -> None:
    flat = [x for batch in _simulate().batches for x in batch]
    trained = [x for x in flat if x.epochs]
    assert len({x.candidate.hash for x in flat}) == len(trained)
    assert all(x.epochs == 9 for x in trained if x.candidate.iteration < 2)
    assert any(x.status == Status.STOPPED for x in trained)
    for x in flat:
        wanted = {Status.OK: {9}, Status.STOPPED: {1, 3}, Status.REUSED: {0}}
        assert x.epochs in wanted[x.status]


def test_where_size_decides_the_largest_of_each_batch_goes_on() -> None:
    simulation = _simulate(1.0)
    seen = [x.candidate.block_flops for batch in simulation.batches[:2] for x in batch]
    for x in simulation.batches[2]:
        if x.epochs:
            assert (x.epochs > 1) == (x.candidate.block_flops >= sorted(seen)[-3])
    assert _simulate(0.0) != simulation


def test_what_is_over_the_budget_is_not_trained() -> None:
    config = tiny_config(budget={"max_params": 1})
    flat = [x for b in play(config, DATASET).simulations[0].batches for x in b]
    assert {(x.status, x.epochs) for x in flat} <= {
        (Status.OVER_BUDGET, 0),
        (Status.REUSED, 0),
    }


def test_a_long_search_is_played_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bqnn.forecast.simulation.MOST_SIMULATED", 9)
    counts = []
    played = play(CONFIG, DATASET, [1.0], lambda *count: counts.append(count))
    assert counts == [(number, 12) for number in range(1, 13)]
    assert [len(batch) for batch in played.simulations[0].batches] == [4, 4, 4]
    assert played.config == CONFIG


def test_an_interrupt_ends_it() -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(CONFIG, DATASET, on_candidate=interrupt)

"""Hours of a search, by hand-worked seconds of its candidates."""

import itertools
from collections.abc import Iterable

import pytest

from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.forecast.forecast import Measured, foretell
from bqnn.forecast.simulation import Played, epochs_of, play
from bqnn.forecast.trials import spread
from bqnn.networks.plan import plan
from tests.helpers.searches import SPEC, tiny_config

CONFIG = tiny_config(train={"epochs": 3, "rungs": (1,)})
SLOWER = 1.2  # three workers beside each other


@pytest.fixture(scope="module")
def played() -> Played:
    return play(CONFIG, SPEC)


def _nodes(candidate: Candidate) -> int:
    return len(plan(candidate.block, CONFIG.network, SPEC).nodes)


def _work(attempts: Iterable[tuple[Candidate, Evaluation]]) -> int:
    """Say that a node alone takes a second to prepare, and two for an epoch."""
    trained = [(c, epochs_of(e)) for c, e in attempts if epochs_of(e)]
    return sum(_nodes(c) * (1 + 2 * epochs) for c, epochs in trained)


def _measured(played: Played) -> Measured:
    trials = []
    for candidate in spread(played.trained, 6):
        taken = SLOWER * _nodes(candidate)
        seconds = {
            "preparation": taken,
            "epoch": 2 * taken,
            "memory": _nodes(candidate),
        }
        trials.append((candidate, Evaluation(Status.OK, seconds=seconds)))
    return Measured(trials, workers=3, slower=SLOWER, start=5.0, programs=9)


def test_seconds_and_counts_add_up(played: Played) -> None:
    found = foretell(played, _measured(played), [1, 2, 3, 6])
    flat = [*itertools.chain(*played.expected)]
    work = _work(flat)
    assert found.work == pytest.approx(work)
    assert found.by_workers[1].expected == pytest.approx(5 + work)
    # Two slow each other down half as much as three, and wait for each other at times.
    assert 5 + 1.1 * work / 2 <= found.by_workers[2].expected < 5 + 0.8 * work
    assert 5 + 1.2 * work / 3 <= found.by_workers[3].expected
    assert 5 + 1.2 * work / 6 <= found.by_workers[6].expected
    for span in found.by_workers.values():
        assert span.low <= span.expected <= span.high
    assert found.candidates == 24
    assert sum(found.statuses.values()) == 24
    assert found.trainings == 24 - found.statuses[Status.REUSED]
    assert found.epochs == sum(epochs_of(e) for _, e in flat)
    assert found.memory == max(_nodes(c) for c, _ in found.measured.trials)
    assert 60_000 < found.journal < 100_000


def test_trainings_in_full_cost_their_epochs() -> None:
    reward = {"kind": "learned", "full_blocks": 4, "full_epochs": 50}
    learning = play(tiny_config(reward=reward), SPEC)
    found = foretell(learning, _measured(learning), [1, 8])
    mean = sum(map(_nodes, learning.trained)) / len(learning.trained)
    early = _work(itertools.chain(*learning.expected))
    assert found.work == pytest.approx(early + 4 * mean * (1 + 2 * 50))
    assert found.by_workers[1].expected == pytest.approx(5 + found.work)
    # No more than four workers have such a training.
    assert found.by_workers[8].expected > 5 + mean * (1 + 2 * 50)


def test_what_is_done_costs_nothing_more(played: Played) -> None:
    first, *rest = played.expected
    done = [candidate.id for candidate, _ in first]
    found = foretell(played, _measured(played), [1], done)
    work = _work(itertools.chain(*rest))
    assert found.by_workers[1].expected == pytest.approx(5 + work)
    assert sum(found.statuses.values()) == 20
    assert found.candidates == 24


def test_a_search_that_is_done_takes_no_time(played: Played) -> None:
    done = [candidate.id for candidate, _ in itertools.chain(*played.expected)]
    found = foretell(played, _measured(played), [1], done)
    assert [*found.by_workers[1]] == [5, 5, 5]
    assert (found.trainings, found.epochs, found.work) == (0, 0, 0)


def test_candidates_to_time_are_spread_from_small_to_large(played: Played) -> None:
    drawn = [candidate for candidate, _ in itertools.chain(*played.expected)]
    distinct = {c.hash for c in drawn}
    flops_of_all = [c.network_flops for c in drawn]
    chosen = spread(drawn, 4)
    flops = [c.network_flops for c in chosen]
    assert len(chosen) == 4 and flops == sorted(flops)
    assert (flops[0], flops[-1]) == (min(flops_of_all), max(flops_of_all))
    assert len(spread(drawn, 1000)) == len(distinct)

"""The search: one trajectory, whatever happens around it."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bqnn.evaluation.records import Status
from bqnn.search import journal
from bqnn.search.events import Asked, Evaluated, Told
from tests.helpers.searches import (
    TableExecutor,
    digests_of,
    evaluated,
    search_table,
    tabulated,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation


def test_a_search_tells_every_batch_in_order(tmp_path: Path) -> None:
    events = search_table(tmp_path, tiny_config())
    told = [event for event in events if isinstance(event, Told)]
    assert [event.number for event in told] == list(range(6))
    epsilons = [event.epsilon for event in events if isinstance(event, Asked)]
    assert epsilons == [1.0, 1.0, 0.5, 0.5, 0.1, 0.1]
    assert len(evaluated(events)) == 24
    for event in evaluated(events):
        want = tabulated(event.candidate).accuracy
        assert event.evaluation.accuracy == want


@pytest.mark.parametrize("lag", [0, 1, 3, 9])
def test_the_order_of_completion_does_not_matter(tmp_path: Path, lag: int) -> None:
    config = tiny_config(search={"lag": lag})
    rng = np.random.default_rng(0)
    orders = [lambda n: 0, lambda n: n - 1, lambda n: int(rng.integers(n))]
    found = [
        digests_of(search_table(tmp_path / str(i), config, TableExecutor(order)))
        for i, order in enumerate(orders)
    ]
    assert found[0] == found[1] == found[2]


def test_lag_says_which_state_a_batch_is_asked_from(tmp_path: Path) -> None:
    for lag in (0, 1, 2):
        search_table(tmp_path / str(lag), tiny_config(search={"lag": lag}))
        with journal.open_readonly(tmp_path / str(lag)) as facts:
            asks = facts.history().asks
        assert [asked.told for asked in asks] == [max(0, k - lag) for k in range(6)]


def test_seeds_decide_the_trajectory(tmp_path: Path) -> None:
    one = digests_of(search_table(tmp_path / "1", tiny_config()))
    same = digests_of(search_table(tmp_path / "2", tiny_config()))
    other = digests_of(search_table(tmp_path / "3", tiny_config(search={"seed": 1})))
    assert one == same
    assert one[-1] != other[-1]


def test_a_block_is_trained_once_and_its_twins_take_the_result(tmp_path: Path) -> None:
    executor = TableExecutor()
    events = evaluated(search_table(tmp_path, tiny_config(), executor))
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
    for event in evaluated(search_table(tmp_path, config)):
        rewards.setdefault(event.candidate.hash, set()).add(event.reward)
    assert any(len(values) > 1 for values in rewards.values())


def test_a_search_stopped_after_any_event_goes_on_to_the_same_end(
    tmp_path: Path,
) -> None:
    config = tiny_config()
    whole = search_table(tmp_path / "whole", config)
    for stop in range(1, len(whole), 4):
        workdir = tmp_path / str(stop)
        executors = TableExecutor(), TableExecutor()
        search_table(workdir, config, executors[0], stop_after=stop)
        events = search_table(workdir, config, executors[1])
        assert digests_of(events) == digests_of(whole)
        attempts = [c.id for e in executors for c in e.attempts]
        assert len(attempts) == len(set(attempts)), "an evaluation was repeated"
        assert len(evaluated(events)) == 24
        shutil.rmtree(workdir)


def test_a_complete_search_evaluates_nothing_more(tmp_path: Path) -> None:
    first = search_table(tmp_path, tiny_config())
    executor = TableExecutor()
    again = search_table(tmp_path, tiny_config(), executor)
    assert executor.attempts == []
    assert all(event.recorded for event in again)
    assert digests_of(again) == digests_of(first)
    assert {e[:3] for e in map(_key, evaluated(again))} == {
        e[:3] for e in map(_key, evaluated(first))
    }


def _key(event: Evaluated) -> tuple[Any, ...]:
    return event.candidate, event.evaluation.accuracy, event.reward


def test_the_seed_of_a_training_depends_on_the_function_alone(tmp_path: Path) -> None:
    seeds: dict[str, set[int]] = {}
    for event in evaluated(
        search_table(tmp_path, tiny_config(agent={"schedule": "1:20"}))
    ):
        seeds.setdefault(event.candidate.hash, set()).add(event.candidate.seed)
    assert all(len(values) == 1 for values in seeds.values())
    different = set(itertools.chain.from_iterable(seeds.values()))
    assert len(different) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in different)

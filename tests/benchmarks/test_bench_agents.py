"""The rival learns what ours learns; the bench runs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import agents
from benchmarks.dict_agent import DictAgent, Rule, Steps
from bqnn.agents import qtable
from bqnn.space.actions import NscSpace, Space
from bqnn.space.nsc import parse

pytestmark = pytest.mark.quick_compilation

F = np.float32


def _rival(space: Space, rule: Rule, seed: int = 0) -> DictAgent:
    steps = Steps(space.num_actions.tolist(), space.stop.tolist())
    return DictAgent(steps, rule, seed)


def test_an_update_worked_by_hand() -> None:
    space = NscSpace(3)
    rival = _rival(space.arrays, Rule(alpha=0.5, q_init=0.25))
    actions = space.encode(parse("1,1,3,0,0;2,2,3,1,0;3,5,0,1,2")).tolist()
    rival.update(actions, 0.75)
    # As in test_qtable: 0.5 x 0.25 + 0.5 x 0.75 at every step.
    for t, action in enumerate(actions):
        row = rival.table[t, actions[t - 1] if t else 0]
        assert row[action] == 0.5
        assert sorted(row)[-2] == 0.25
    assert len(rival.table) == 3


@pytest.mark.parametrize("shaped", [True, False])
def test_both_learners_reach_the_same_table(shaped: bool) -> None:
    space = NscSpace(5).arrays
    rival = _rival(space, Rule(alpha=0.3, gamma=0.9, shaped=shaped, q_init=0.1))
    rule = qtable.UpdateRule(0.3, 0.9, shaped)
    update = jax.jit(functools.partial(qtable.update, space, rule))
    q_values, rng = qtable.init(space, 0.1), np.random.default_rng(0)
    for actions in rival.ask(1.0, 300):
        reward = float(rng.random(dtype=F))
        rival.update(actions, reward)
        a_t = np.full(5, -1, np.int32)
        a_t[: len(actions)] = actions
        q_values = update(q_values, jnp.asarray(a_t), jnp.float32(reward))
    for (t, previous), row in rival.table.items():
        width = len(row)
        ours = qtable.row(space, q_values, jnp.int32(t), jnp.int32(previous), width)
        np.testing.assert_allclose(ours, row, rtol=1e-5)
    written = sum(len(row) for row in rival.table.values())
    assert np.sum(np.asarray(q_values) != F(0.1)) <= written


def test_the_rival_explores_all_codes_and_ends_at_the_terminal() -> None:
    space = NscSpace(3).arrays
    blocks = _rival(space, Rule()).ask(1.0, 4000)
    counts = np.bincount([block[0] for block in blocks])
    assert len(counts) == 8 and counts.min() > 400 and counts.max() < 600
    for block in blocks:
        stops = [a == space.stop[t] for t, a in enumerate(block)]
        assert not any(stops[:-1])
        assert stops[-1] or len(block) == 3


def test_the_rival_is_greedy_and_breaks_ties_at_random() -> None:
    space = NscSpace(2).arrays
    rival = _rival(space, Rule(alpha=0.5))
    rival.update([3, 7], 1.0)
    assert all(block == [3, 7] for block in rival.ask(0.0, 20))
    rival.update([3, 7], -9.0)
    blocks = rival.ask(0.0, 2000)
    assert {block[0] for block in blocks} == set(range(8)) - {3}
    rival.table[1, 5] = [1.0, 0.0, 1.0]
    assert {block[1] for block in blocks if block[0] != 3} == set(range(19))
    again = [block[1] for block in rival.ask(0.0, 2000) if block[0] == 5]
    assert set(again) == {0, 2}


def test_the_rival_replays_from_what_it_was_told() -> None:
    space = NscSpace(2).arrays
    rival = _rival(space, Rule(replay_updates=50))
    rival.tell([[3, 7], [2, 18]], [1.0, 0.5])
    assert rival.table.keys() == {(0, 0), (1, 3), (1, 2)}
    without = _rival(space, Rule(replay_updates=0, alpha=0.5))
    without.tell([[3, 7]], [1.0])
    assert without.table[1, 3][7] == 0.5


def test_the_bench_measures_and_tells() -> None:
    times = agents.measure(
        iterations=4,
        batch=4,
        replay_updates=3,
        max_layers=3,
        seeds=3,
        repeats=2,
        at_once=2,
    )
    assert min(times.ours, times.rival, times.vmapped) > 0
    assert times.speedup == times.rival / times.ours
    assert times.seeds_ratio == times.vmapped / times.ours
    text = agents.summary(times)
    assert text.startswith("agent: 4 iterations of ask and tell in ")
    assert "3 seeds in one program" in text

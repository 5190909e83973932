"""Two values of a block: scalarised, sorted by dominance, learnt from."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from bqnn.agents import front, make_agent, make_learner, replay
from bqnn.config import AgentConfig, Config, EvolutionConfig, RewardConfig, SearchConfig
from bqnn.errors import SearchError
from bqnn.search.front import hypervolume
from bqnn.space.actions import NscSpace
from bqnn.space.nsc import parse
from tests.helpers.searches import (
    TableExecutor,
    digests_of,
    last_digest,
    search_table,
    tiny_config,
)
from tests.helpers.searches import replay as replayed

pytestmark = pytest.mark.quick_compilation

INF = np.inf


def test_ranks_and_crowding_by_hand() -> None:
    # A staircase of four, two behind it, one behind those, and an empty row.
    values = jnp.float32(
        [[4, 0], [3, 2], [1, 3], [0, 4], [2, 2], [1, 1], [0, 0], [-INF, -INF]]
    )
    ranks = front.ranks(values)
    assert ranks.tolist() == [0, 0, 0, 0, 1, 2, 3, 4]
    # Of [3, 2]: (4 - 1) / 4 + (3 - 0) / 4; of [1, 3]: (3 - 0) / 4 + (4 - 2) / 4.
    assert front.crowding(values, ranks).tolist() == [INF, 1.5, 1.25, *[INF] * 5]
    assert front.best_first(values).tolist() == [0, 3, 1, 2, 4, 5, 6, 7]


def test_equals_share_a_rank_and_crowd_each_other() -> None:
    values = jnp.float32([[1, 1], [1, 1], [1, 1], [2, 0]])
    ranks = front.ranks(values)
    assert ranks.tolist() == [0, 0, 0, 0]
    # By either value the equals stand beside each other; one of them is at an end.
    assert np.isinf(front.crowding(values, ranks)).tolist() == [True, False, True, True]
    empty = jnp.full((3, 2), -INF)
    assert front.best_first(empty).tolist() == [0, 2, 1]


@jax.jit
def _sorted_out(values: Array) -> tuple[Array, Array]:
    found = front.ranks(values)
    return found, front.crowding(values, found)


def test_three_values_are_ranked_and_weighed_by_hand() -> None:
    # None of five beats another, the sixth is beaten.
    values = [[4, 0, 1], [3, 2, 0], [1, 3, 4], [0, 4, 2], [2, 2.5, 3], [0, 0, 0]]
    ranks, apart = _sorted_out(jnp.float32(values))
    assert ranks.tolist() == [0] * 5 + [1]
    # The fifth is at no end: (3 - 1) / 4 + (3 - 2) / 4 + (4 - 2) / 4.
    assert apart.tolist() == [INF, INF, INF, INF, 1.25, INF]
    # Shares of 2, 1 and 1: the second and the third go twice as far as they count.
    told, direction = [[1, 0.3, 0.8], [0.5, 0.7, 0.8]], [0.5, 0.25, 0.25]
    way = front.scalarised(jnp.float32(told), jnp.float32(direction))
    np.testing.assert_allclose(way, [0.6, 0.5], rtol=1e-6)


def test_directions_are_uniform_shares() -> None:
    key = jax.random.key(3)
    # Of two values, one draw says both.
    weights = jax.random.uniform(key, (99,))
    two = front.draw_directions(key, 2, 99)
    np.testing.assert_array_equal(two, jnp.stack([weights, 1 - weights], 1))
    three = front.draw_directions(key, 3, 4000)
    assert float(three.min()) >= 0
    np.testing.assert_allclose(three.sum(axis=1), 1, rtol=1e-6)
    # A share of three is above 1/2 in a quarter of the triangle.
    np.testing.assert_allclose((three > 0.5).mean(axis=0), 0.25, atol=0.03)


def test_a_direction_chooses_a_block_of_the_front_by_hand() -> None:
    values = jnp.float32([[10, -8], [9, -6], [5, -4], [4, -4], [0, 0]])
    told = jnp.array([True, True, True, True, False])
    known = front.normalised(values, told)
    # From 4 to 10, and from -8 to -4.
    expected = np.array([[1, 0], [5 / 6, 0.5], [1 / 6, 1], [0, 1]])
    np.testing.assert_allclose(known[:4], expected, rtol=1e-6)
    # At equal weights the shorter side counts.
    equal = front.scalarised(known[:4], jnp.float32([0.5, 0.5]))
    np.testing.assert_allclose(equal, [0, 0.5, 1 / 6, 0], rtol=1e-6)
    # A quarter of the direction is reward: it weighs three times as much.
    cheap = front.scalarised(known[:4], jnp.float32([0.25, 0.75]))
    np.testing.assert_allclose(cheap, [0, 0.5, 0.5, 0], rtol=1e-6)
    chosen = {
        int(front.scalarised(known[:4], jnp.float32([w, 1 - w])).argmax())
        for w in np.linspace(0, 1, 21)
    }
    assert chosen == {1, 2}


def test_nsga_keeps_the_front_whole_and_mutates_the_first_of_it() -> None:
    space = NscSpace(3)
    evolution = EvolutionConfig(population=4, sample=50)
    config = AgentConfig(
        name="evolution", goal="front", schedule="1.0:9", evolution=evolution
    )
    learner = make_learner(space.arrays, config, batch=3)
    best, rest = parse("1,1,5,0,0;2,1,5,1,0;3,1,5,2,0"), parse("1,4,0,0,0")
    told = jnp.asarray(np.stack([space.encode(x) for x in (rest, rest, best)]))
    state = learner.tell(learner.init(0), told, jnp.float32([[1, 1], [0, 0], [2, 0]]))
    assert state.rewards.tolist() == [[1, 1], [2, 0], [0, 0], [-INF, -INF]]
    state = learner.tell(state, told, jnp.float32([[0, 2], [1, 0], [1, 1]]))
    # Three of the front and the new equal of one; two are dominated.
    assert sorted(state.rewards.tolist()) == [[0, 2], [1, 1], [1, 1], [2, 0]]
    state = learner.tell(state, told, jnp.float32([[0, 0], [0, 0], [3, 3]]))
    nothing = jnp.zeros((0, 3), jnp.int32)
    # Fifty draws of four miss the first once in a million times.
    asked = learner.sample(state, jnp.int32(3), jnp.float32(0), nothing)
    for row in np.asarray(asked):
        layers = space.decode(row).layers
        kept = [a == b for a, b in zip(layers, best.layers, strict=False)]
        assert sum(kept) >= len(kept) - 1


def test_what_is_told_must_have_two_values() -> None:
    config = AgentConfig(name="random", goal="front", schedule="1.0:2")
    reward = RewardConfig(kind="accuracy")
    whole = Config(agent=config, search=SearchConfig(2), reward=reward)
    agent = make_agent(NscSpace(2), whole)
    actions, _ = agent.ask(agent.init())
    agent.tell(agent.init(), actions, np.zeros((2, 2)))
    with pytest.raises(SearchError, match="want 2 values for each of 1 to 2 blocks"):
        agent.tell(agent.init(), actions, np.zeros(2))
    assert dataclasses.replace(config, second_cost="params").told == (3,)


def test_one_reward_is_left_as_it_is() -> None:
    memory = replay.init(capacity=3, steps=1)
    assert replay.weighed(memory, jnp.float32([1])) is memory


FRONT: dict[str, Any] = {"reward": {"kind": "accuracy", "cost": "params"}}


@pytest.mark.parametrize("name", ["q", "q_model", "evolution", "random"])
def test_a_search_for_a_front_replays_whoever_works(name: str, tmp_path: Path) -> None:
    config = tiny_config(
        agent={"name": name, "goal": "front", "evolution": {"population": 6}}, **FRONT
    )
    backwards = TableExecutor(pick=lambda count: count - 1, capacity=3)
    whole = search_table(tmp_path / "whole", config)
    search_table(tmp_path / "parts", config, backwards, stop_after=20)
    parts = search_table(tmp_path / "parts", config)
    assert digests_of(parts) == digests_of(whole)
    assert digests_of(replayed(tmp_path / "parts")) == digests_of(whole)
    agent = dataclasses.replace(config.agent, second_cost="flops")
    two = search_table(tmp_path / "two", dataclasses.replace(config, agent=agent))
    assert digests_of(replayed(tmp_path / "two")) == digests_of(two)
    differs = last_digest(two) != last_digest(whole)
    assert differs == (name != "random")  # which remembers nothing


@pytest.mark.parametrize("name", ["q_model", "evolution"])
def test_a_front_is_found_that_random_search_does_not_find(name: str) -> None:
    """Larger kernels are rewarded, and layers cost."""
    space = NscSpace(4)
    kernels = jnp.asarray(space.arrays.codes[..., 1])

    def values(actions: Any) -> Any:
        chosen = kernels[jnp.arange(4)[None], jnp.maximum(actions, 0)]
        sums = jnp.where(actions >= 0, chosen, 0).sum(axis=1).astype(jnp.float32)
        return jnp.stack([sums, -(actions >= 0).sum(axis=1).astype(jnp.float32)], 1)

    areas = {}
    for agent in (name, "random"):
        config = AgentConfig(name=agent, goal="front", schedule="1.0:4,0.1:12")
        learner = make_learner(space.arrays, config, batch=4)
        nothing = jnp.zeros((0, 4), jnp.int32)

        def iterate(
            state: Any, at: Any, learner: Any = learner, nothing: Any = nothing
        ) -> Any:
            actions = learner.sample(state, *at, nothing)
            told = values(actions)
            return learner.tell(state, actions, told), told

        every = jnp.arange(16), jnp.array(learner.epsilons, jnp.float32)

        def search(
            seed: Any, learner: Any = learner, iterate: Any = iterate, at: Any = every
        ) -> Any:
            return jax.lax.scan(iterate, learner.init(seed), at)[1]

        found = np.asarray(jax.jit(jax.vmap(search))(jnp.arange(4))).reshape(4, -1, 2)
        areas[agent] = np.mean(
            [hypervolume(one[:, 0], -one[:, 1], 1.0, 4.0) for one in found]
        )
    assert areas[name] > areas["random"]

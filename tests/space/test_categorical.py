"""Categorical spaces: their arrays, and agents that search them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bqnn.agents import LEARNERS, make_learner
from bqnn.agents.qtable import argmax_random_tie, bands, init, row
from bqnn.compare.tabular import all_actions
from bqnn.config import AgentConfig
from bqnn.space.categorical import CategoricalSpace, categorical_arrays

pytestmark = pytest.mark.quick_compilation

UNEVEN = (40, 2, 3, 2)


def test_choices_are_decoded_and_encoded() -> None:
    space = CategoricalSpace({"depth": ("1", "2"), "norm": ("batch", "layer", "none")})
    assert space.decode([1, 2]) == {"depth": "2", "norm": "none"}
    assert space.encode({"norm": "layer", "depth": "1"}).tolist() == [0, 1]
    assert len(list(all_actions(space.arrays))) == 6


def test_every_choice_is_a_function_of_its_own() -> None:
    space = categorical_arrays(UNEVEN)
    rows = jnp.asarray(np.stack(list(all_actions(space))))
    assert len(np.unique(jax.vmap(space.key)(rows))) == len(rows)
    features = np.asarray(jax.vmap(space.features)(rows))
    assert len(np.unique(features, axis=0)) == len(rows)
    assert (features.sum(axis=1) == len(UNEVEN)).all()


def test_every_row_of_a_table_is_read_whole() -> None:
    # Steps with fewer choices than the ones before are read at a wider band.
    space = categorical_arrays(UNEVEN)
    size = len(init(space, 0.0))
    q_values = jnp.arange(size, dtype=jnp.float32)
    seen = []
    for band in bands(space):
        for step in range(*band.steps.indices(len(UNEVEN))):
            for previous in range(UNEVEN[step - 1] if step else 1):
                at = jnp.int32(step), jnp.int32(previous)
                values = row(space, q_values, *at, band.width)
                seen += values[jnp.isfinite(values)].astype(int).tolist()
                best = argmax_random_tie(values, jnp.zeros(2, jnp.uint32))
                assert best == UNEVEN[step] - 1
    assert seen == list(range(space.size))


@pytest.mark.parametrize("exploration", ["codes", "types"])
@pytest.mark.parametrize("name", LEARNERS)
def test_agents_choose_what_is_legal(name: str, exploration: str) -> None:
    space = categorical_arrays(UNEVEN)
    agent = AgentConfig(name=name, schedule="1.0:8,0.1:8", exploration=exploration)
    learner = make_learner(space, agent, 4)
    sample, tell = jax.jit(learner.sample), jax.jit(learner.tell)
    state = learner.init(0)
    for iteration, epsilon in enumerate(learner.epsilons):
        at = jnp.int32(iteration), jnp.float32(epsilon)
        actions = sample(state, *at, jnp.zeros((0, len(UNEVEN)), jnp.int32))
        assert (np.asarray(actions) >= 0).all()
        assert (np.asarray(actions) < UNEVEN).all()
        rewards = actions[:, 0].astype(jnp.float32) / 40
        state = tell(state, actions, rewards)

"""Evolution: a child differs from its parent in one code.

For one reward it is regularized evolution (Real, Aggarwal, Huang and Le, AAAI 2019):
the population is a queue, and the oldest block dies, whatever its reward. For a front
it selects as NSGA-II does (Deb, Pratap, Agarwal and Meyarivan, 2002): the population is
sorted, and what is dominated or crowded most dies.
"""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from bqnn.agents import front
from bqnn.agents.learner import Learner, key_of
from bqnn.agents.mutation import mutate
from bqnn.agents.sampling import random_blocks
from bqnn.config import AgentConfig, schedule
from bqnn.numerics import seed_key
from bqnn.space.actions import Space


class EvolutionState(NamedTuple):
    """A population.

    Attributes:
      actions: its blocks, int32 `[P, T]`: the oldest first, after rows of -1. For a
        front the best first, and rows of -1 last.
      rewards: what was told of them, -inf where there is no block; float32 `[P]`, for a
        front `[P, V]`.
      key: the key of the search, uint32 `[2]`.
      iteration: batches told so far, int32 `[]`.
    """

    actions: Array
    rewards: Array
    key: Array
    iteration: Array


def make_evolution(
    space: Space, config: AgentConfig, batch: int, learnt: int = 0
) -> Learner:
    """Build regularized evolution, or NSGA-II.

    All parents of a batch come from one population, so that evolution can be given
    workers like the other agents.

    Args:
      space: the decision process.
      config: `evolution`; `exploration`, for the first blocks; `schedule`, for its
        length only.
      batch: B, blocks per iteration.
      learnt: needs no room: the population is of one size.
    """
    del learnt
    return Learner(
        init=functools.partial(_init, space, config),
        sample=functools.partial(_sample, space, config, batch),
        tell=_tell_front if config.goal == "front" else _tell,
        epsilons=(0.0,) * schedule.parse(config.schedule).iterations,
    )


def _init(space: Space, config: AgentConfig, seed: ArrayLike) -> EvolutionState:
    population, steps = config.evolution.population, len(space.num_actions)
    return EvolutionState(
        actions=jnp.full((population, steps), -1, jnp.int32),
        rewards=jnp.full((population, *config.told), -jnp.inf, jnp.float32),
        key=seed_key(seed),
        iteration=jnp.zeros((), jnp.int32),
    )


def _sample(
    space: Space,
    config: AgentConfig,
    batch: int,
    state: EvolutionState,
    iteration: Array,
    epsilon: Array,
    pending: Array,
) -> Array:
    """Mutate the best of a sample per slot; random blocks until P are told."""
    del epsilon, pending  # evolution heeds neither
    keys = jax.random.split(key_of(state.key, iteration, "ask"), batch)
    child = functools.partial(_mutant, space, config.evolution.sample, state)
    return lax.cond(
        (state.actions[:, 0] >= 0).all(),
        lambda: jax.vmap(child)(keys),
        lambda: random_blocks(space, config.exploration, keys),
    )


def _mutant(
    space: Space, sample: int, state: EvolutionState, key: chex.PRNGKey
) -> Array:
    """Mutate the best of `sample` blocks, drawn with replacement, into one `[T]`."""
    sample_key, mutate_key = jax.random.split(key)
    drawn = jax.random.randint(sample_key, (sample,), 0, len(state.rewards))
    is_sorted = state.rewards.ndim == 2
    best = drawn.min() if is_sorted else drawn[jnp.argmax(state.rewards[drawn])]
    return mutate(space, state.actions[best], mutate_key)


def _tell(
    state: EvolutionState, actions: ArrayLike, rewards: ArrayLike
) -> EvolutionState:
    """Append the new blocks, and drop as many of the oldest."""
    chex.assert_rank([actions, rewards], [2, 1])
    population = len(state.rewards)
    return EvolutionState(
        jnp.concatenate([state.actions, jnp.asarray(actions)])[-population:],
        jnp.concatenate([state.rewards, jnp.asarray(rewards)])[-population:],
        state.key,
        state.iteration + 1,
    )


def _tell_front(
    state: EvolutionState, actions: ArrayLike, rewards: ArrayLike
) -> EvolutionState:
    """Sort old and new blocks, and drop as many of the last; new ones go first."""
    chex.assert_rank([actions, rewards], [2, 2])
    all_actions = jnp.concatenate([jnp.asarray(actions), state.actions])
    values = jnp.concatenate([jnp.asarray(rewards), state.rewards])
    kept = front.best_first(values)[: len(state.rewards)]
    return EvolutionState(
        all_actions[kept], values[kept], state.key, state.iteration + 1
    )

"""Local search with restarts (White, Nolen and Savani, UAI 2021), in batches.

A climb begins at random blocks. Then neighbours of its best block, mutants that were
not asked before, are asked until one is better, which is the best from then on. Where
no neighbour is new, a climb begins anew.
"""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from bqnn.agents import novelty, replay
from bqnn.agents.learner import Learner, key_of
from bqnn.agents.mutation import mutate
from bqnn.agents.replay import ReplayMemory
from bqnn.agents.sampling import random_blocks
from bqnn.config import AgentConfig, schedule
from bqnn.numerics import seed_key
from bqnn.space.actions import Space

_NEIGHBOURS = 128
"""Mutants drawn: of 24 neighbours, as a cell of NAS-Bench-201 has, the last one that is
new is missed in one of 200 draws."""


class LocalState(NamedTuple):
    """A climb, and all that was told.

    Attributes:
      memory: every block told.
      start: where the blocks of this climb begin in the memory, int32 `[]`.
      key: the key of the search, uint32 `[2]`.
      iteration: batches told so far, int32 `[]`.
    """

    memory: ReplayMemory
    start: Array
    key: Array
    iteration: Array


def make_local(
    space: Space, config: AgentConfig, batch: int, learnt: int = 0
) -> Learner:
    """Build local search.

    Args:
      space: the decision process.
      config: `exploration`, for random blocks; `schedule`, for its length only.
      batch: B, blocks per iteration.
      learnt: blocks told before those of the first iteration.
    """
    iterations = schedule.parse(config.schedule).iterations
    return Learner(
        init=functools.partial(_init, space, learnt + iterations * batch),
        sample=functools.partial(_sample, space, config.exploration, batch),
        tell=functools.partial(_tell, space),
        epsilons=(0.0,) * iterations,
        heeds_pending=True,
    )


def _init(space: Space, capacity: int, seed: ArrayLike) -> LocalState:
    return LocalState(
        memory=replay.init(capacity, len(space.num_actions), keeps_keys=True),
        start=jnp.zeros((), jnp.int32),
        key=seed_key(seed),
        iteration=jnp.zeros((), jnp.int32),
    )


def _sample(
    space: Space,
    exploration: str,
    batch: int,
    state: LocalState,
    iteration: Array,
    epsilon: Array,
    pending: Array,
) -> Array:
    """Take new neighbours of the climb's best block, then random ones.

    With a probability of epsilon it takes random ones only. That is 0 unless a batch is
    drawn again, since all new neighbours may be over the budget.
    """
    near_key, far_key = jax.random.split(key_of(state.key, iteration, "ask"))
    near, has_near = _neighbours(space, state, near_key)
    has_near &= epsilon <= jax.random.uniform(
        key_of(state.key, iteration, "ask_weights")
    )
    far_keys = jax.random.split(far_key, batch * novelty.TRIES)
    blocks = jnp.concatenate([near, random_blocks(space, exploration, far_keys)])
    keys, pending_keys = novelty.keys_of(space.key, blocks, pending)
    assert state.memory.keys is not None
    known = jnp.concatenate([state.memory.keys, pending_keys])
    allowed = has_near | (jnp.arange(len(blocks)) >= len(near))
    new = allowed & ~novelty.is_in(keys, known)
    # Where nothing is new, any random block is asked again.
    return blocks[novelty.first_distinct(keys, new, batch)]


def _tell(
    space: Space, state: LocalState, actions: Array, rewards: Array
) -> LocalState:
    """Add the batch; end the climb if its best block has no new neighbour."""
    memory = replay.add(space, state.memory, actions, rewards)
    told = state._replace(memory=memory, iteration=state.iteration + 1)
    near, _ = _neighbours(space, told, key_of(state.key, state.iteration, "tell"))
    assert memory.keys is not None
    is_over = novelty.is_in(jax.vmap(space.key)(near), memory.keys).all()
    return told._replace(start=jnp.where(is_over, memory.size, state.start))


def _neighbours(
    space: Space, state: LocalState, key: chex.PRNGKey
) -> tuple[Array, Array]:
    """Draw mutants of the climb's best block, and tell whether it has one.

    If it has none, the mutants are no blocks.
    """
    memory = state.memory
    place = jnp.arange(len(memory.rewards))
    in_climb = (place >= state.start) & (place < memory.size)
    best = memory.actions[jnp.argmax(jnp.where(in_climb, memory.rewards, -jnp.inf))]
    keys = jax.random.split(key, _NEIGHBOURS)
    mutants = jax.vmap(functools.partial(mutate, space, best))(keys)
    return mutants, in_climb.any()

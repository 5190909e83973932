"""Replay memory: every block told so far, with its reward (the paper, replay)."""

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import Array, lax

from bqnn.agents import front
from bqnn.space.actions import Space


class ReplayMemory(NamedTuple):
    """Blocks and rewards, in the order they were told.

    Attributes:
      actions: the blocks, int32 `[M, T]`, -1 after the end of a block.
      rewards: r_T of each block, float32 `[M]`; with `agent.goal=front` V values,
        `[M, V]`.
      size: how many blocks the memory holds, of M at most; int32 `[]`.
      keys: `Space.key` of each block, 0 beyond the last; uint32 `[M]`. None for
        learners that do not ask what was told.
    """

    actions: Array
    rewards: Array
    size: Array
    keys: Array | None = None

    @property
    def values(self) -> int:
        """V, the values told of a block."""
        return math.prod(self.rewards.shape[1:])


def init(
    capacity: int, steps: int, keeps_keys: bool = False, told: tuple[int, ...] = ()
) -> ReplayMemory:
    """Make an empty memory.

    Args:
      capacity: M, the blocks that it has room for.
      steps: T, their most decisions.
      keeps_keys: whether it has keys.
      told: shape of what is told of a block, as `AgentConfig.told`.
    """
    return ReplayMemory(
        actions=jnp.full((capacity, steps), -1, jnp.int32),
        rewards=jnp.zeros((capacity, *told), jnp.float32),
        size=jnp.zeros((), jnp.int32),
        keys=jnp.zeros((capacity,), jnp.uint32) if keeps_keys else None,
    )


def add(
    space: Space, memory: ReplayMemory, actions: Array, rewards: Array
) -> ReplayMemory:
    """Append a batch of blocks. The capacity must suffice.

    Args:
      space: the decision process.
      memory: the memory so far.
      actions: the blocks, int32 `[B, T]`.
      rewards: their rewards, float32 `[B]` or `[B, V]` as in the memory.
    """
    chex.assert_rank([actions, rewards], [2, memory.rewards.ndim])
    size, keys = memory.size, memory.keys
    if keys is not None:
        keys = lax.dynamic_update_slice(keys, jax.vmap(space.key)(actions), (size,))
    return ReplayMemory(
        actions=lax.dynamic_update_slice(memory.actions, actions, (size, 0)),
        rewards=lax.dynamic_update_slice_in_dim(memory.rewards, rewards, size, 0),
        size=size + len(rewards),
        keys=keys,
    )


def is_told(memory: ReplayMemory) -> Array:
    """Mark the rows that hold a block, bool `[M]`."""
    return jnp.arange(len(memory.rewards)) < memory.size


def weighed(memory: ReplayMemory, direction: Array) -> ReplayMemory:
    """Make one reward of several values (`front.scalarised`).

    Args:
      memory: the same memory is returned if it has one reward.
      direction: the share of each value, float32 `[V]`.
    """
    if memory.rewards.ndim == 1:
        return memory
    values = front.normalised(memory.rewards, is_told(memory))
    return memory._replace(rewards=front.scalarised(values, direction))


def told_last(memory: ReplayMemory, num: int) -> tuple[Array, Array]:
    """Return the blocks that were added last.

    Args:
      memory: at least `num` blocks.
      num: how many to return.

    Returns:
      Actions, int32 `[num, T]`, and rewards as in the memory, the oldest first.
    """
    start = memory.size - num
    return (
        lax.dynamic_slice_in_dim(memory.actions, start, num),
        lax.dynamic_slice_in_dim(memory.rewards, start, num),
    )


def sample(
    memory: ReplayMemory, key: chex.PRNGKey, num: int, newest: int = 1, best: int = 1
) -> tuple[Array, Array]:
    """Draw `num` blocks, uniformly as the paper does, or by tournaments.

    With replacement (ours; the paper does not say). The tournaments (ours) compare
    integers and rewards only: weights with logarithms or powers would round differently
    from machine to machine.

    Args:
      memory: the memory to draw from; it holds one block at least.
      key: consumed.
      num: the number of blocks.
      newest: tournament size by recency: the newest of so many uniform draws wins.
      best: tournament size by reward: the best rewarded of so many winners is drawn.

    Returns:
      Actions int32 `[num, T]` and rewards float32 `[num]`.
    """
    indices = jax.random.randint(key, (num, best, newest), 0, memory.size).max(axis=2)
    first = jnp.argmax(memory.rewards[indices], axis=1)
    chosen = jnp.take_along_axis(indices, first[:, None], axis=1)[:, 0]
    return memory.actions[chosen], memory.rewards[chosen]

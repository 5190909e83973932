"""The replay memory: every block told so far, with its reward (the paper, replay)."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import Array, lax


class ReplayMemory(NamedTuple):
    """Blocks and rewards, in the order they were told.

    Attributes:
      actions: -1 after the end of a block.  # [C, T] int32
      rewards: r_T of each block.  # [C] float32
      size: how many of the C places are taken.  # [] int32
    """

    actions: Array
    rewards: Array
    size: Array


def init(capacity: int, steps: int) -> ReplayMemory:
    """Make an empty memory for `capacity` blocks of at most `steps` decisions."""
    return ReplayMemory(
        actions=jnp.full((capacity, steps), -1, jnp.int32),
        rewards=jnp.zeros((capacity,), jnp.float32),
        size=jnp.zeros((), jnp.int32),
    )


def add(memory: ReplayMemory, actions: Array, rewards: Array) -> ReplayMemory:
    """Append a batch of blocks; the capacity must hold it.

    Args:
      memory: what was told before.
      actions: the blocks.  # [B, T]
      rewards: their rewards.  # [B]
    """
    chex.assert_rank([actions, rewards], [2, 1])
    return ReplayMemory(
        actions=lax.dynamic_update_slice(memory.actions, actions, (memory.size, 0)),
        rewards=lax.dynamic_update_slice(memory.rewards, rewards, (memory.size,)),
        size=memory.size + len(rewards),
    )


def sample(
    memory: ReplayMemory, key: chex.PRNGKey, num: int, newest: int = 1, best: int = 1
) -> tuple[Array, Array]:
    """Draw `num` blocks, uniformly as the paper does, or with a bias.

    With replacement (ours; the paper does not say). The biases are counts of draws
    (ours): integers, and so the same on every machine.

    Args:
      memory: to draw from; it holds a block at least.
      key: consumed.
      num: how many.
      newest: each is the newest of so many draws.
      best: and then the best rewarded of so many of those.

    Returns:
      Actions  # [num, T]
      and rewards.  # [num]
    """
    drawn = jax.random.randint(key, (num, best, newest), 0, memory.size).max(axis=2)
    first = jnp.argmax(memory.rewards[drawn], axis=1)
    chosen = jnp.take_along_axis(drawn, first[:, None], axis=1)[:, 0]
    return memory.actions[chosen], memory.rewards[chosen]

"""Novelty: choose blocks that were not told before (ours)."""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from bqnn.agents.qtable import rounded

TRIES = 8
"""Proposals for every block asked."""


class Asking(NamedTuple):
    """A request for new blocks.

    Attributes:
      key: the key of the iteration; consumed.
      batch: B, the number of blocks.
      epsilon: the epsilon of the iteration, float32 `[]`.
    """

    key: chex.PRNGKey
    batch: int
    epsilon: Array


def choose(
    propose: Callable[[chex.PRNGKey, Array], Array], told: Array, asking: Asking
) -> Array:
    """Choose for every slot of the batch its first proposal that is new.

    New means: neither told before nor chosen for an earlier slot. Blocks in flight do
    not count; a twin of one is evaluated once. Epsilon rises from proposal to proposal,
    to 1 in the last: where all blocks near the greedy one are known, the search looks
    further away. If no proposal is new, the last one is taken. With four proposals a
    slot, 1 and 2 told:

        epsilon  0.1  0.4  0.7  1.0
        slot 0    1    2   [3]   4     1 and 2 were told
        slot 1    1    2    3   [4]    3 is taken by slot 0
        slot 2    1    2    3   [4]    nothing new: the last

    Listing all unseen blocks by value instead is impossible in the paper's space.

    Args:
      propose: (keys `[B * TRIES]`, epsilons `[B * TRIES]`) -> blocks, int32
        `[B * TRIES, T]`.
      told: blocks and rows of -1, int32 `[M, T]`.
      asking: how many blocks, and with which epsilon.

    Returns:
      Blocks, int32 `[B, T]`.
    """
    batch, epsilon = asking.batch, asking.epsilon
    rise = np.arange(TRIES, dtype=np.float32) / np.float32(TRIES - 1)
    epsilons = jnp.minimum(epsilon + rounded((1 - epsilon) * rise), 1)
    keys = jax.random.split(asking.key, batch * TRIES)
    blocks = propose(keys, jnp.tile(epsilons, batch))
    hashes = _hash(blocks)
    seen = _is_in(hashes, _hash(told))

    def choose_one(
        chosen: Array, slot: tuple[Array, Array, Array]
    ) -> tuple[Array, Array]:
        number, hashes, seen = slot
        new = ~seen & ~_is_in(hashes, chosen)
        first = jnp.where(new.any(), jnp.argmax(new), TRIES - 1)
        return chosen.at[number].set(hashes[first]), first

    grid = (batch, TRIES)
    # The hash of an empty row, which no block has, fills the slots to come.
    chosen = jnp.broadcast_to(_hash(jnp.full_like(told[:1], -1)), (batch,))
    slots = (jnp.arange(batch), hashes.reshape(grid), seen.reshape(grid))
    _, first = lax.scan(choose_one, chosen, slots)
    return blocks.reshape(*grid, -1)[jnp.arange(batch), first]


def _is_in(hashes: Array, others: Array) -> Array:
    return jnp.isin(hashes, others, method="compare_all")


def _hash(blocks: Array) -> Array:
    """Hash every row (FNV-1a over its actions), uint32 `[rows]`.

    The probability of a collision among 10,000 blocks is about 1 %. A block that
    collides with one that was told counts as told.
    """
    hashes = jnp.full(len(blocks), 2166136261, jnp.uint32)
    for column in blocks.T:
        hashes = (hashes ^ (column + 1).astype(jnp.uint32)) * jnp.uint32(16777619)
    return hashes

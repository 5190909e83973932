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
    propose: Callable[[chex.PRNGKey, Array], Array],
    key_of: Callable[[Array], Array],
    known: Array,
    pending: Array,
    asking: Asking,
) -> Array:
    """Choose for every slot of the batch its first proposal that is new.

    New means: neither known nor chosen for an earlier slot. Epsilon rises from proposal
    to proposal, to 1 in the last: where all blocks near the greedy one are known, the
    search looks further away. If no proposal is new, the last one is taken. With four
    proposals a slot, 1 and 2 known:

        epsilon  0.1  0.4  0.7  1.0
        slot 0    1    2   [3]   4     1 and 2 are known
        slot 1    1    2    3   [4]    3 is taken by slot 0
        slot 2    1    2    3   [4]    nothing new: the last

    Listing all unseen blocks by value instead is impossible in the paper's space.

    Args:
      propose: (keys `[B * TRIES]`, epsilons `[B * TRIES]`) -> blocks, int32
        `[B * TRIES, T]`.
      key_of: (block, int32 `[T]`) -> uint32 `[]`: blocks of one key count as one.
      known: keys of the blocks told, uint32 `[M]`.
      pending: blocks that are not new either, int32 `[L, T]`, and rows of -1.
      asking: how many blocks, and with which epsilon.

    Returns:
      Blocks, int32 `[B, T]`.
    """
    batch, epsilon = asking.batch, asking.epsilon
    keys = jax.random.split(asking.key, batch * TRIES)
    blocks = propose(keys, jnp.tile(rising(epsilon, TRIES), batch))
    # The key of an empty row, which no block has, fills the slots to come.
    empty_row = jnp.full((1, blocks.shape[1]), -1, blocks.dtype)
    block_keys, pending_keys, empty = keys_of(key_of, blocks, pending, empty_row)
    block_keys = block_keys.reshape(batch, TRIES)
    old = is_in(block_keys, jnp.concatenate([known, pending_keys]))
    first = _first_new(block_keys, old, jnp.repeat(empty, batch))
    return blocks.reshape(batch, TRIES, -1)[jnp.arange(batch), first]


def _first_new(keys: Array, old: Array, none: Array) -> Array:
    """Return the first proposal of each slot that is new, or else the last.

    Args:
      keys: of the proposals, uint32 `[B, TRIES]`.
      old: which are known, bool `[B, TRIES]`.
      none: a key that no block has, uint32 `[B]`.

    Returns:
      Indices from 0 to `TRIES - 1`, int32 `[B]`.
    """

    def choose_one(
        chosen: Array, slot: tuple[Array, Array, Array]
    ) -> tuple[Array, Array]:
        number, tries, old = slot
        new = ~old & ~is_in(tries, chosen)
        first = jnp.where(new.any(), jnp.argmax(new), TRIES - 1)
        return chosen.at[number].set(tries[first]), first

    return lax.scan(choose_one, none, (jnp.arange(len(keys)), keys, old))[1]


def rising(epsilon: Array, count: int) -> Array:
    """Return epsilons from `epsilon` to 1, evenly spaced, float32 `[count]`."""
    rise = np.arange(count, dtype=np.float32) / np.float32(count - 1)
    return jnp.minimum(epsilon + rounded((1 - epsilon) * rise), 1)


def first_distinct(keys: Array, new: Array, count: int) -> Array:
    """Return the indices of the first blocks that are new and differ in their keys.

    Args:
      keys: of the blocks, uint32 `[N]`.
      new: which may be taken, bool `[N]`.
      count: B, how many to return. Where there are fewer, the last block stands in.

    Returns:
      Indices, int32 `[B]`.
    """

    def take(free: Array, _: None) -> tuple[Array, Array]:
        index = jnp.where(free.any(), jnp.argmax(free), len(keys) - 1)
        return free & (keys != keys[index]), index

    return lax.scan(take, new, length=count)[1]


def keys_of(key_of: Callable[[Array], Array], *rows: Array) -> list[Array]:
    """Return the keys of blocks, uint32 `[N]` for each of `rows`, int32 `[N, T]`.

    All at once, for the program of a key takes a second to compile.
    """
    ends = np.cumsum([len(some) for some in rows])[:-1]
    return jnp.split(jax.vmap(key_of)(jnp.concatenate(rows)), ends)


def is_in(keys: Array, others: Array) -> Array:
    """Mark the keys that are among others, bool of the shape of `keys`."""
    return jnp.isin(keys, others, method="compare_all")

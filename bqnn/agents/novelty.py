"""Asking for blocks that were not told before (ours)."""

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
    """What is asked.

    Attributes:
      key: of the iteration; consumed.
      batch: B, how many blocks.
      epsilon: of the iteration.  # []
    """

    key: chex.PRNGKey
    batch: int
    epsilon: Array


def choose(
    propose: Callable[[chex.PRNGKey, Array], Array], told: Array, asking: Asking
) -> Array:
    """Take for every slot its first proposal that is new.

    Epsilon rises from proposal to proposal, to 1 in the last: where all that is near
    the greedy block is known, the search looks further away. The last proposal is
    taken if none is new.

    Args:
      propose: (keys [N], epsilons [N]) -> blocks.  # [N, T]
      told: blocks, and rows of -1.  # [C, T]
      asking: how many, and with which epsilon.

    Returns:
      Blocks.  # [B, T]
    """
    batch, epsilon = asking.batch, asking.epsilon
    rise = np.arange(TRIES, dtype=np.float32) / np.float32(TRIES - 1)
    epsilons = jnp.minimum(epsilon + rounded((1 - epsilon) * rise), 1)
    keys = jax.random.split(asking.key, batch * TRIES)
    blocks = propose(keys, jnp.tile(epsilons, batch))
    marks = _hash(blocks)
    seen = _among(marks, _hash(told))

    def take(taken: Array, slot: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        number, marks, seen = slot
        new = ~seen & ~_among(marks, taken)
        first = jnp.where(new.any(), jnp.argmax(new), TRIES - 1)
        return taken.at[number].set(marks[first]), first

    grid = (batch, TRIES)
    # No block has the mark of an empty row.
    taken = jnp.broadcast_to(_hash(jnp.full_like(told[:1], -1)), (batch,))
    slots = (jnp.arange(batch), marks.reshape(grid), seen.reshape(grid))
    _, first = lax.scan(take, taken, slots)
    return blocks.reshape(*grid, -1)[jnp.arange(batch), first]


def _among(marks: Array, others: Array) -> Array:
    return (marks[:, None] == others[None, :]).any(axis=1)


def _hash(blocks: Array) -> Array:
    """Hash every row (FNV-1a over its actions).  # [N] uint32.

    Two of 10,000 blocks share one once in a hundred searches: one of them is then not
    asked.
    """
    marks = jnp.full(len(blocks), 2166136261, jnp.uint32)
    for column in blocks.T:
        marks = (marks ^ (column + 1).astype(jnp.uint32)) * jnp.uint32(16777619)
    return marks

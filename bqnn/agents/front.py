"""Front: how learners weigh values against each other, the same on every machine.

With `agent.goal=front` a learner is told V values of every block, each to be large: its
reward, and minus the logarithm of each cost. Q-learning is told random scalarisations
of them (`scalarised`); evolution sorts by dominance (`best_first`).
"""

import functools

import chex
import jax
import jax.numpy as jnp
from jax import Array, lax

_LEAST_WEIGHT = 1 / 64
"""Of each value, so that none is ignored."""


def draw_directions(key: chex.PRNGKey, values: int, count: int) -> Array:
    """Draw shares of V values, uniform among all that add up to 1. Consumes `key`.

    Args:
      key: consumed.
      values: V; of one value the share is 1.
      count: how many directions.

    Returns:
      Directions, float32 `[count, V]`: the gaps between V - 1 cuts of a unit.
    """
    cuts = jnp.sort(jax.random.uniform(key, (count, values - 1)), axis=1)
    return jnp.diff(cuts, axis=1, prepend=0.0, append=1.0)


def normalised(values: Array, told: Array) -> Array:
    """Shift and scale values so that those told span 0 to 1; float32 `[M, V]`.

    Args:
      values: float32 `[M, V]`.
      told: which rows hold a block, bool `[M]`.
    """
    chex.assert_rank([values, told], [2, 1])
    low = jnp.where(told[:, None], values, jnp.inf).min(axis=0, keepdims=True)
    high = jnp.where(told[:, None], values, -jnp.inf).max(axis=0, keepdims=True)
    width = high - low
    return (values - low) * jnp.where(width > 0, 1 / width, 0)


def scalarised(values: Array, direction: Array) -> Array:
    """Turn V values into one; the direction says which block of a front is its best.

    The result is the length of the way in that direction that a block dominates.
    Averaged over directions, the longest way of all blocks told is the hypervolume
    (Zhang and Golovin, *Random hypervolume scalarizations*, ICML 2020), but for
    constants and a power.

    Args:
      values: `normalised`, float32 `[M, V]`.
      direction: the share of each value, float32 `[V]`.

    Returns:
      Rewards, float32 `[M]`.
    """
    chex.assert_rank([values, direction], [2, 1])
    shares = jnp.maximum(direction, _LEAST_WEIGHT)
    # Inverse shares, but for a factor.
    weights = jnp.stack([jnp.delete(shares, i).prod() for i in range(len(shares))])
    weights *= 1 / weights.min()
    return (values * weights[None]).min(axis=1)


def best_first(values: Array) -> Array:
    """Sort by rank, and within a rank by crowding distance (Deb et al., NSGA-II, 2002).

    Args:
      values: each to be large, -inf where there is no block; float32 `[N, V]`.

    Returns:
      Indices, int32 `[N]`; of equals, the first comes first.
    """
    found = ranks(values)
    return jnp.lexsort((-crowding(values, found), found))


def ranks(values: Array) -> Array:
    """Count how many blocks, each dominated by the one before it, lead to each block.

    That is the non-dominated front which a block belongs to, from 0: int32 `[N]`.

    Args:
      values: float32 `[N, V]`.
    """
    chex.assert_rank(values, 2)
    as_good = (values[:, None] >= values[None]).all(axis=2)
    dominates = as_good & (values[:, None] > values[None]).any(axis=2)

    def longer(state: tuple[Array, Array]) -> tuple[Array, Array]:
        old, _ = state
        new = jnp.where(dominates, old[:, None] + 1, 0).max(axis=0)
        return new, (new != old).any()

    start = jnp.zeros(len(values), jnp.int32), jnp.bool_(True)
    return lax.while_loop(lambda state: state[1], longer, start)[0]


def crowding(values: Array, rank: Array) -> Array:
    """Add up, over all values, how far the neighbours of the same rank are apart.

    Relative to the range of the rank; infinite at its ends.

    Args:
      values: float32 `[N, V]`.
      rank: int32 `[N]`.

    Returns:
      Distances, float32 `[N]`.
    """
    chex.assert_rank([values, rank], [2, 1])
    return functools.reduce(jnp.add, (_gaps(column, rank) for column in values.T))


def _gaps(column: Array, rank: Array) -> Array:
    """Return the distance between both neighbours, infinite at the ends; `[N]`."""
    order = jnp.lexsort((column, rank))
    value, own = column[order], rank[order]
    size = len(column)
    low = jax.ops.segment_min(value, own, size)[own]
    high = jax.ops.segment_max(value, own, size)[own]
    nowhere = jnp.full(1, -1, own.dtype)
    below = jnp.concatenate([nowhere, own[:-1]]) == own
    above = jnp.concatenate([own[1:], nowhere]) == own
    between = jnp.roll(value, -1) - jnp.roll(value, 1)
    # Blocks of equal value, of which some may be -inf, are not apart.
    apart = jnp.where(high > low, between / (high - low), 0)
    gap = jnp.where(below & above, apart, jnp.inf)
    return jnp.zeros_like(column).at[order].set(gap, unique_indices=True)

"""Front: how learners weigh two values against each other, the same on every machine.

With `agent.goal=front` a learner is told two values of every block, each to be large:
its reward, and minus the logarithm of its cost. Q-learning is told random
scalarisations of both (`scalarised`); evolution sorts by dominance (`best_first`).
"""

import chex
import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

OBJECTIVES = 2
"""Values told of a block where there is a front."""

_LEAST_WEIGHT = 1 / 64
"""Of each value, so that none is ignored."""


def shape(goal: str, *leading: int) -> tuple[int, ...]:
    """Return the shape of what is told, by `AgentConfig.goal`: `[N]` or `[N, 2]`."""
    return (*leading, OBJECTIVES) if goal == "front" else leading


def draw_weights(key: chex.PRNGKey, *leading: int) -> Array:
    """Draw weights of the reward, uniform; float32 of a shape. Consumes `key`."""
    return jax.random.uniform(key, leading)


def normalised(values: Array, told: Array) -> Array:
    """Shift and scale values so that those told span 0 to 1; float32 `[M, 2]`.

    Args:
      values: float32 `[M, 2]`.
      told: which rows hold a block, bool `[M]`.
    """
    chex.assert_rank([values, told], [2, 1])
    low = jnp.where(told[:, None], values, jnp.inf).min(axis=0, keepdims=True)
    high = jnp.where(told[:, None], values, -jnp.inf).max(axis=0, keepdims=True)
    width = high - low
    return (values - low) * jnp.where(width > 0, 1 / width, 0)


def scalarised(values: Array, weight: ArrayLike) -> Array:
    """Turn two values into one; which block of the front is its best, the weight says.

    A weight is a direction, the result the length of the way along it that a block
    dominates. Averaged over directions, the longest way of all blocks told is the
    hypervolume (Zhang and Golovin, *Random hypervolume scalarizations*, ICML 2020), but
    for constants.

    Args:
      values: `normalised`, float32 `[M, 2]`.
      weight: of the reward against the cost, from 0 to 1; float32 `[]`.

    Returns:
      Rewards, float32 `[M]`.
    """
    chex.assert_rank([values, weight], [2, 0])
    sides = jnp.stack([1 - jnp.asarray(weight), jnp.asarray(weight)])
    weights = jnp.maximum(sides, _LEAST_WEIGHT)
    weights *= 1 / weights.min()
    return (values * weights[None]).min(axis=1)


def best_first(values: Array) -> Array:
    """Sort by rank, and within a rank by crowding distance (Deb et al., NSGA-II, 2002).

    Args:
      values: each to be large, -inf where there is no block; float32 `[N, 2]`.

    Returns:
      Indices, int32 `[N]`; of equals, the first comes first.
    """
    found = ranks(values)
    return jnp.lexsort((-crowding(values, found), found))


def ranks(values: Array) -> Array:
    """Count how many blocks, each dominated by the one before it, lead to each block.

    That is the non-dominated front which a block belongs to, from 0: int32 `[N]`.

    Args:
      values: float32 `[N, 2]`.
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
    """Add up, over both values, how far the neighbours of the same rank are apart.

    Relative to the range of the rank; infinite at its ends.

    Args:
      values: float32 `[N, 2]`.
      rank: int32 `[N]`.

    Returns:
      Distances, float32 `[N]`.
    """
    chex.assert_rank([values, rank], [2, 1])
    return _gaps(values[:, 0], rank) + _gaps(values[:, 1], rank)


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

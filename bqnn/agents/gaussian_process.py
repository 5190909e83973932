"""Gaussian process: rewards foretold from distances, with the same bits everywhere.

Blocks are compared by integers. What follows are sums, products and quotients of
float32 in a fixed order: no exponential, no library of linear algebra, no sum that a
compiler may reorder, no product that it may fuse with a sum (`qtable.rounded`). So the
same blocks are asked on every machine.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from bqnn.agents.qtable import rounded


class Facts(NamedTuple):
    """What a process is conditioned on: S rows with rewards, then L without.

    Attributes:
      features: of the blocks, int32 `[S + L, F]`.
      rewards: float32 `[S]`.
      told: rows that hold a block and its reward, bool `[S]`.
      pending: rows that hold a block in flight, bool `[L]`. It counts as told at the
        value foretold for it (the kriging believer, Ginsbourger et al., 2010), which
        narrows the posterior and moves no mean.
    """

    features: Array
    rewards: Array
    told: Array
    pending: Array


class Posterior(NamedTuple):
    """Rewards foretold.

    Attributes:
      mean: of each block's reward, float32 `[P]`.
      variance: of it, float32 `[P]`.
    """

    mean: Array
    variance: Array


def posterior(facts: Facts, features: Array, noise: float, rows: Array) -> Posterior:
    """Foretell the rewards of blocks.

    The covariance of two blocks at distance d is 1 / (1 + d / l) ** 2, with l the mean
    distance between the facts: a mixture of Laplacian kernels.

    Args:
      facts: what is known; rows that hold no block change no bit.
      features: of the blocks to foretell, int32 `[P, F]`.
      noise: variance of a reward, relative to the variance of all.
      rows: how many of the first rows hold facts at most, int32 `[]`.
    """
    there = jnp.concatenate([facts.told, facts.pending])
    between = distances(facts.features, facts.features)
    across = distances(facts.features, features)
    length = _mean_distance(between, there)
    kernel = jnp.where(there[:, None] & there[None], _kernel(between, length), 0)
    diagonal = jnp.where(there, 1 + jnp.float32(noise), 1)
    kernel = jnp.where(jnp.eye(len(there), dtype=bool), diagonal[:, None], kernel)
    cross = jnp.where(there[:, None], _kernel(across, length), 0)
    average, variance = _moments(facts.rewards, facts.told)
    centred = jnp.where(facts.told, facts.rewards - average, 0)
    in_flight = len(facts.pending)
    told = jnp.pad(facts.told, (0, in_flight))
    post = _eliminated(kernel, cross, jnp.pad(centred, (0, in_flight)), told, rows)
    return Posterior(post.mean + average, post.variance * variance)


def distances(one: Array, other: Array) -> Array:
    """Return sums of absolute differences, int32 `[N, P]`, of `[N, F]` and `[P, F]`."""
    return jnp.abs(one[:, None] - other[None]).sum(axis=2, dtype=jnp.int32)


def _mean_distance(between: Array, there: Array) -> Array:
    """Return the mean over the pairs of facts, at least 1; float32 `[]`."""
    pairs = there[:, None] & there[None] & ~jnp.eye(len(there), dtype=bool)
    total = jnp.where(pairs, between, 0).sum(dtype=jnp.int32)
    count = jnp.maximum(pairs.sum(dtype=jnp.int32), 1)
    return jnp.maximum(total.astype(jnp.float32) / count.astype(jnp.float32), 1)


def _kernel(distance: Array, length: Array) -> Array:
    root = length / (length + distance.astype(jnp.float32))
    return root * root


def _moments(rewards: Array, told: Array) -> tuple[Array, Array]:
    """Return mean and variance of what was told: 0 and 1 if nothing was."""
    count = jnp.maximum(told.sum(dtype=jnp.int32), 1).astype(jnp.float32)
    mean = tree_sum(jnp.where(told, rewards, 0)) / count
    centred = jnp.where(told, rewards - mean, 0)
    variance = tree_sum(rounded(centred * centred)) / count
    return mean, jnp.where(told.any(), variance, 1)


def tree_sum(values: Array) -> Array:
    """Add up `[N]` in a fixed order: halves onto each other, again and again."""
    while len(values) > 1:
        half = -(-len(values) // 2)
        values = values[:half] + jnp.pad(values[half:], (0, 2 * half - len(values)))
    return values[0]


def _eliminated(
    kernel: Array, cross: Array, centred: Array, told: Array, rows: Array
) -> Posterior:
    """Condition on one fact after the other, by Gaussian elimination.

    The prior has mean 0 and variance 1.

    After row i, its left part is a row of D L' in kernel = L D L', and its right part
    D w, so that mean and variance follow without a square root.
    """
    place = jnp.arange(len(kernel))
    points = cross.shape[1]

    def condition(i: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        matrix, residuals, mean, variance = carry
        row = matrix[i]
        # XLA makes a quotient by a scalar this product, but not in every program.
        inverse = 1 / row[i]
        factors = jnp.where(place > i, matrix[:, i] * inverse, 0)
        surprise = jnp.where(told[i], residuals[i], 0)
        right = row[len(kernel) :]
        gain = right * inverse
        return (
            matrix - rounded(factors[:, None] * row[None]),
            residuals - rounded(factors * surprise),
            mean + rounded(gain * surprise),
            variance - rounded(gain * right),
        )

    start = (
        jnp.concatenate([kernel, cross], axis=1),
        centred,
        jnp.zeros(points),
        jnp.ones(points),
    )
    _, _, mean, variance = lax.fori_loop(0, rows, condition, start)
    return Posterior(mean, jnp.maximum(variance, 0))


def thompson(post: Posterior, bits: Array) -> Array:
    """Draw from the posterior of each block, apart from the others; float32 `[P]`.

    A normal deviate is the sum of twelve uniform ones less 6 (Irwin and Hall), for
    integers add up alike everywhere.

    Args:
      post: the posterior.
      bits: uint32 `[P, 12]`, random.
    """
    # No quotient by a root: XLA makes it a product with an approximate inverse root.
    sums = (bits >> 16).astype(jnp.int32).sum(axis=1, dtype=jnp.int32)
    deviates = sums.astype(jnp.float32) / 65536 - jnp.float32(6 - 12 / 131072)
    return post.mean + rounded(jnp.sqrt(post.variance) * deviates)


def random_bits(key: Array, points: int) -> Array:
    """Draw the bits for `thompson`. Consumes `key`."""
    return jax.random.bits(key, (points, 12))

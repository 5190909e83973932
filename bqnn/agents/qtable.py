"""Q-table: one flat array, its rows, and the paper's update of it."""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from bqnn.space.actions import Space


class UpdateRule(NamedTuple):
    """The constants of the update.

    Attributes:
      alpha: learning rate.
      gamma: discount.
      shaped: whether an intermediate reward is r_T / T instead of 0.
      spread: whether the last reward is r_T / T too, instead of r_T (ours): rewards
        then add up to r_T whatever the length, and all decisions weigh alike.
    """

    alpha: float
    gamma: float
    shaped: bool
    spread: bool = False


def init(space: Space, q_init: float) -> Array:
    """Make a table with every Q-value at `q_init`.

    Returns:
      Q-values, float32 `[Q]`. Q is the size of the space and padding, of one row or
      more: the slice that reads a row must never run out of the table.
    """
    ends = [*space.row_start[1:], space.size]
    last_rows = np.array(ends) - space.num_actions
    reach = max(last_rows[b.steps].max() + b.width for b in bands(space))
    padded = max(space.size + int(space.num_actions.max()), int(reach))
    return jnp.full((padded,), q_init, jnp.float32)


class Band(NamedTuple):
    """Consecutive steps whose rows are read at one width.

    Attributes:
      steps: the steps.
      width: Q-values read per row: a multiple of `LANES`, or fewer than `LANES`.
    """

    steps: slice
    width: int


LANES = 32
"""Size of the groups in which `argmax_random_tie` counts."""


def bands(space: Space) -> list[Band]:
    """Split the steps into two halves, each as wide as its longest row.

    The length of a row grows with the square of the step. At one width for all rows,
    most numbers read would be padding.
    """
    total = len(space.num_actions)
    ends = sorted({(total + 1) // 2, total})
    found = []
    for start, end in zip([0, *ends], ends, strict=False):
        longest = int(space.num_actions[start:end].max())
        width = longest if longest < LANES else -(-longest // LANES) * LANES
        found.append(Band(slice(start, end), width))
    return found


def row(
    space: Space, q_values: Array, step: Array, previous: Array, width: int
) -> Array:
    """Read the Q-values of the actions of `step` after action `previous`.

    Args:
      space: the decision process.
      q_values: the table, float32 `[Q]`.
      step: t, from 0; int32 `[]`.
      previous: the action of step t - 1, 0 at step 0; int32 `[]`.
      width: A, the width of the step's band.

    Returns:
      Q-values, float32 `[A]`, -inf beyond the legal actions.
    """
    chex.assert_rank([q_values, step, previous], [1, 0, 0])
    count = jnp.asarray(space.num_actions)[step]
    start = jnp.asarray(space.row_start)[step] + previous * count
    values = lax.dynamic_slice(q_values, (start,), (width,))
    return jnp.where(jnp.arange(width) < count, values, -jnp.inf)


def argmax_random_tie(values: Array, bits: Array) -> Array:
    """Return the index of the largest value; ties are broken at random (ours).

    Two-level count: per group of `LANES` values, then inside the chosen group. The
    running sum is a product with a triangular matrix, so it should be short. The third
    of four ties (`nth` = 2) in 12 values, in groups of four for the picture:

        ties      . x . .   x . x .   . . . x
        counts    1         2         1
        until     1         3         4           until <= 2 in one group: group 1
        in it               1 1 2 2               nth = 2 - (3 - 2) = 1
                                                  sums <= 1 at two indices: index 2
        index     1 * 4 + 2 = 6

    Args:
      values: a row of the Q-table, or fewer than `LANES` values; float32 `[A]`.
      bits: random bits, as `sampling.randint_bits` draws them; uint32 `[2]`.
    """
    groups = values.reshape(max(len(values) // LANES, 1), -1)
    ties = groups == values.max()
    counts = ties.sum(axis=1, dtype=jnp.int32)
    until = _running_sum(counts)
    nth = randint_from_bits(bits, until[-1])
    group = jnp.sum(until <= nth, dtype=jnp.int32)
    nth -= until[group] - counts[group]
    index = jnp.sum(_running_sum(ties[group]) <= nth, dtype=jnp.int32)
    return group * groups.shape[1] + index


def randint_from_bits(bits: Array, bound: Array) -> Array:
    """Return the integer that `jax.random.randint(key, (), 0, bound)` would return.

    The bound is a number of ties. It becomes known step by step inside a scan, while
    all bits of a batch are drawn at once before it. So this repeats jax's arithmetic,
    and a test compares both: two words of 32 bits are one number of 64 bits,
    `high * 2**32 + low`, and the integer is its remainder by the bound. No word holds
    `2**32`, so its remainder is that of `(2**16 % bound)**2`.

    Args:
      bits: as `sampling.randint_bits` draws them, uint32 `[2]`: high, low.
      bound: 1 or more, int32 `[]`.
    """
    span = bound.astype(jnp.uint32)
    high, low = bits % span
    shift = jnp.uint32(2**16) % span
    return ((high * (shift * shift % span) + low) % span).astype(jnp.int32)


def update(
    space: Space,
    rule: UpdateRule,
    q_values: Array,
    a_t: Array,
    reward: Array,
) -> Array:
    """Update the table with one block, from its last decision to its first.

    The paper, Q-learning. The order is ours. So is the T of the shaped reward r_T / T:
    the number of decisions, the Terminal included; a block of full length has no
    Terminal. Every product is rounded before it is added, so that the result is the
    same on every machine.

    A block has one Q-value in each of its rows. So all rows are read at once, then the
    new values are computed one after the other, and all are written at once.

    Args:
      space: the decision process.
      rule: alpha, gamma and shaping.
      q_values: the table, float32 `[Q]`.
      a_t: the actions of the block, int32 `[T]`, -1 after the last.
      reward: r_T, float32 `[]`.

    Returns:
      The new table, float32 `[Q]`.
    """
    chex.assert_rank([q_values, a_t, reward], [1, 1, 0])
    taken = a_t >= 0
    a_tm1 = _previous(a_t)
    cells = cells_of(space, a_t)
    # After the end of the block, any value may be read, and none is written.
    read = jnp.where(taken, cells, 0)
    written = jnp.where(taken, cells, len(q_values) + jnp.arange(len(a_t)))
    others = _other_max(space, q_values, jnp.where(taken, a_tm1, 0), a_t)
    new = _backward(rule, q_values[read], others, taken.sum(), reward)
    return q_values.at[written].set(new, mode="drop", unique_indices=True)


def rounded(product: Array) -> Array:
    """Keep the compiler from fusing `product` and a sum into one fused multiply-add.

    XLA contracts `a * b + c` wherever the processor has an FMA instruction, and a fused
    result has other last bits: 24,479 of 100,000 Q-updates differed from NumPy's.
    `optimization_barrier` and `reduce_precision` do not prevent it. A maximum between
    product and sum does, and it changes no finite number.
    """
    return jnp.maximum(product, jnp.finfo(jnp.float32).min)


def _previous(a_t: Array) -> Array:
    """Return the action before each one, 0 before the first; `[T]`."""
    return jnp.concatenate([jnp.zeros(1, a_t.dtype), a_t[:-1]])


def cells_of(space: Space, a_t: Array) -> Array:
    """Return the index of the Q-value of each action, `[T]`; any index for -1."""
    counts = jnp.asarray(space.num_actions)
    return jnp.asarray(space.row_start) + _previous(a_t) * counts + a_t


def _running_sum(counts: Array) -> Array:
    """Return `cumsum` of small counts, as a product, which is faster here."""
    triangle = jnp.tri(len(counts), dtype=jnp.float32)
    return (triangle @ counts.astype(jnp.float32)).astype(jnp.int32)


def _other_max(space: Space, q_values: Array, a_tm1: Array, a_t: Array) -> Array:
    """Read the largest Q-value of each row, the action taken left out; `[T]`."""

    def largest(width: int, step: Array, previous: Array, action: Array) -> Array:
        values = row(space, q_values, step, previous, width)
        return values.at[action].set(-jnp.inf).max()

    found = []
    for steps, width in bands(space):
        read = jax.vmap(functools.partial(largest, width))
        found.append(read(jnp.arange(len(a_t))[steps], a_tm1[steps], a_t[steps]))
    return jnp.concatenate(found)


def _backward(
    rule: UpdateRule, old: Array, others: Array, length: Array, reward: Array
) -> Array:
    """Compute the new Q-values of a block from the last decision to the first.

    Args:
      rule: alpha, gamma and shaping.
      old: the Q-values of the actions taken, float32 `[T]`.
      others: the largest of the other Q-values of each row, float32 `[T]`.
      length: the number of decisions, int32 `[]`.
      reward: r_T, float32 `[]`.

    Returns:
      The new Q-values, float32 `[T]`; any numbers after the end of the block.
    """
    alpha, gamma = np.float32(rule.alpha), np.float32(rule.gamma)
    share = reward / length.astype(jnp.float32)
    r_t = share if rule.shaped else jnp.float32(0)
    final = share if rule.spread else reward

    def back(q_max: Array, at_t: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        old, other, last = at_t
        target = jnp.where(last, final, r_t + rounded(gamma * q_max))
        new = rounded((1 - alpha) * old) + rounded(alpha * target)
        return jnp.maximum(new, other), new

    last = jnp.arange(len(old)) == length - 1
    return lax.scan(back, jnp.float32(0), (old, others, last), reverse=True)[1]

"""The Q-table: one flat array, its rows, and the paper's updates of it."""

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
      Q-values, padded by one row so that a slice of the widest row never runs out of
      the table.  # [S] float32
    """
    padding = int(space.num_actions.max())
    return jnp.full((space.size + padding,), q_init, jnp.float32)


class Band(NamedTuple):
    """Neighbouring steps whose rows are read at one width.

    Attributes:
      steps: which steps.
      width: Q-values read per row: a multiple of `LANES`, or fewer than that.
    """

    steps: slice
    width: int


LANES = 32


def bands(space: Space) -> list[Band]:
    """Split the steps into halves, each as wide as its longest row.

    Rows grow with the square of the step: at one width for all of them, most of what is
    read would be padding.
    """
    total = len(space.num_actions)
    ends = sorted({(total + 1) // 2, total})
    found = []
    for start, end in zip([0, *ends], ends, strict=False):
        longest = int(space.num_actions[end - 1])
        width = longest if longest < LANES else -(-longest // LANES) * LANES
        found.append(Band(slice(start, end), width))
    return found


def row(
    space: Space, q_values: Array, step: Array, previous: Array, width: int
) -> Array:
    """Read the Q-values of the actions of `step` after action `previous`.

    Args:
      space: the decision process.
      q_values: the table.  # [S]
      step: t, from 0.  # []
      previous: the action of step t - 1; 0 at step 0.  # []
      width: A, that of the step's band.

    Returns:
      Q-values, -inf beyond the legal actions.  # [A]
    """
    chex.assert_rank([q_values, step, previous], [1, 0, 0])
    count = jnp.asarray(space.num_actions)[step]
    start = jnp.asarray(space.row_start)[step] + previous * count
    values = lax.dynamic_slice(q_values, (start,), (width,))
    return jnp.where(jnp.arange(width) < count, values, -jnp.inf)


def best(values: Array, bits: Array) -> Array:
    """Return the place of the largest value; ties are broken at random (ours).

    Ties are counted by groups, and place by place in one group alone.

    Args:
      values: a row of the Q-table, or fewer than `LANES` values.  # [A]
      bits: what decides between ties: those that `jax.random.randint` draws, so that
        they can be drawn before it is known how many there are.  # [2] uint32
    """
    groups = values.reshape(max(len(values) // LANES, 1), -1)
    ties = groups == values.max()
    counts = ties.sum(axis=1, dtype=jnp.int32)
    until = _running_sum(counts)
    nth = _below(bits, until[-1])
    group = jnp.sum(until <= nth, dtype=jnp.int32)
    nth -= until[group] - counts[group]
    place = jnp.sum(_running_sum(ties[group]) <= nth, dtype=jnp.int32)
    return group * groups.shape[1] + place


def update(
    space: Space,
    rule: UpdateRule,
    q_values: Array,
    a_t: Array,
    reward: Array,
) -> Array:
    """Update the table with one block, from its last decision to its first.

    The paper, Q-learning. The order is ours, and so is T, by which the shaped reward
    divides: the number of decisions, the Terminal included; a block of full length ends
    without one. Every product is rounded before it is
    added, so that the result is the same on every machine.

    A block has one Q-value in each of its rows. So all rows can be read before the
    first of these is written, and only numbers are worked out one after the other.

    Args:
      space: the decision process.
      rule: alpha, gamma and shaping.
      q_values: the table.  # [S]
      a_t: the actions of the block, -1 after the last.  # [T]
      reward: r_T.  # []

    Returns:
      The new table.  # [S]
    """
    chex.assert_rank([q_values, a_t, reward], [1, 1, 0])
    taken = a_t >= 0
    a_tm1 = _previous(a_t)
    cells = _cells(space, a_t)
    # Beyond the block, nothing is read that matters, and nothing is written.
    read = jnp.where(taken, cells, 0)
    written = jnp.where(taken, cells, len(q_values) + jnp.arange(len(a_t)))
    others = _other_max(space, q_values, jnp.where(taken, a_tm1, 0), a_t)
    new = _backward(rule, q_values[read], others, taken.sum(), reward)
    return q_values.at[written].set(new, mode="drop", unique_indices=True)


def count(space: Space, visits: Array, actions: Array) -> Array:
    """Count the actions of blocks.

    Args:
      space: the decision process.
      visits: how often each action was counted before.  # [S] int32
      actions: blocks, -1 after the last.  # [B, T]
    """
    chex.assert_rank([visits, actions], [1, 2])
    cells = jax.vmap(functools.partial(_cells, space))(actions)
    return visits.at[jnp.where(actions >= 0, cells, len(visits))].add(1, mode="drop")


def rounded(product: Array) -> Array:
    """Keep the compiler from fusing `product` and a sum into one fused multiply-add.

    XLA contracts `a * b + c` wherever the processor has an FMA instruction, through
    optimization barriers and reduce_precision alike, and a fused result has other last
    bits. A maximum that changes no finite number stands in its way.
    """
    return jnp.maximum(product, jnp.finfo(jnp.float32).min)


def _previous(a_t: Array) -> Array:
    """Return the action before each one, 0 before the first.  # [T]."""
    return jnp.concatenate([jnp.zeros(1, a_t.dtype), a_t[:-1]])


def _cells(space: Space, a_t: Array) -> Array:
    """Return where the Q-value of each action of a block lies; any place for -1."""
    counts = jnp.asarray(space.num_actions)
    return jnp.asarray(space.row_start) + _previous(a_t) * counts + a_t


def _running_sum(counts: Array) -> Array:
    """Sum small counts up to each place: a product, which beats `cumsum` here."""
    triangle = jnp.tri(len(counts), dtype=jnp.float32)
    return (triangle @ counts.astype(jnp.float32)).astype(jnp.int32)


def _below(bits: Array, bound: Array) -> Array:
    """Return what `jax.random.randint(key, (), 0, bound)` makes of its bits."""
    span = bound.astype(jnp.uint32)
    high, low = bits % span
    shift = jnp.uint32(2**16) % span
    return ((high * (shift * shift % span) + low) % span).astype(jnp.int32)


def _other_max(space: Space, q_values: Array, a_tm1: Array, a_t: Array) -> Array:
    """Read the largest Q-value of each row but for that of the action taken.  # [T]."""

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
    """Work out the new Q-values of a block, from those of its rows.

    Args:
      rule: alpha, gamma and shaping.
      old: the Q-values of the actions taken.  # [T]
      others: the largest of the other Q-values of each row.  # [T]
      length: the number of decisions.  # []
      reward: r_T.  # []

    Returns:
      The new Q-values; beyond the block, any numbers.  # [T]
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

"""The Q-table: one flat array, and the updates of the paper's section 3.2."""

from typing import NamedTuple

import chex
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from bqnn.space import Space


class UpdateRule(NamedTuple):
    """The constants of the update.

    Attributes:
      alpha: learning rate.
      gamma: discount.
      shaped: whether an intermediate reward is r_T / T instead of 0.
    """

    alpha: float
    gamma: float
    shaped: bool


def init(space: Space, q_init: float) -> Array:
    """Make a table with every Q-value at `q_init`.

    Returns:
      Q-values, padded by one row so that a slice of the widest row never runs out of
      the table.  # [S] float32
    """
    padding = int(space.num_actions.max())
    return jnp.full((space.size + padding,), q_init, jnp.float32)


def row(space: Space, q_values: Array, step: Array, previous: Array) -> Array:
    """Read the Q-values of the actions of `step` after action `previous`.

    Args:
      space: the decision process, of at most A actions.
      q_values: the table.  # [S]
      step: t, from 0.  # []
      previous: the action of step t - 1; 0 at step 0.  # []

    Returns:
      Q-values, -inf beyond the legal actions.  # [A]
    """
    chex.assert_rank([q_values, step, previous], [1, 0, 0])
    width = int(space.num_actions.max())
    count = jnp.asarray(space.num_actions)[step]
    start = jnp.asarray(space.row_start)[step] + previous * count
    values = lax.dynamic_slice(q_values, (start,), (width,))
    return jnp.where(jnp.arange(width) < count, values, -jnp.inf)


def update(
    space: Space,
    rule: UpdateRule,
    q_values: Array,
    a_t: Array,
    reward: Array,
) -> Array:
    """Update the table with one block, from its last decision to its first.

    The paper, section 3.2. T, by which the shaped reward divides, is the number
    of decisions, the Terminal included (ours). Every product is rounded before it is
    added, so that the result is the same on every machine.

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
    alpha, gamma = np.float32(rule.alpha), np.float32(rule.gamma)
    length = jnp.sum(a_t >= 0)
    r_t = reward / length.astype(jnp.float32) if rule.shaped else jnp.float32(0)
    a_tm1 = jnp.concatenate([jnp.zeros(1, a_t.dtype), a_t[:-1]])

    def backward(step: Array, q_values: Array) -> Array:
        t = length - 1 - step
        count = jnp.asarray(space.num_actions)[t]
        cell = jnp.asarray(space.row_start)[t] + a_tm1[t] * count + a_t[t]
        last = t == length - 1
        q_max = row(space, q_values, jnp.minimum(t + 1, len(a_t) - 1), a_t[t]).max()
        target = jnp.where(last, reward, r_t + _rounded(gamma * q_max))
        new = _rounded((1 - alpha) * q_values[cell]) + _rounded(alpha * target)
        return q_values.at[cell].set(new)

    return lax.fori_loop(0, length, backward, q_values)


def _rounded(product: Array) -> Array:
    """Keep the compiler from fusing `product` and a sum into one fused multiply-add.

    XLA contracts `a * b + c` wherever the processor has an FMA instruction, through
    optimization barriers and reduce_precision alike, and a fused result has other last
    bits. A maximum that changes no finite number stands in its way.
    """
    return jnp.maximum(product, jnp.finfo(jnp.float32).min)

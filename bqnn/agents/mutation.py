"""Mutations of a block, as actions: operation, kernel, predecessor."""

import chex
import jax
import jax.numpy as jnp
from jax import Array

from bqnn.agents import qtable
from bqnn.agents.sampling import bits, end
from bqnn.space.actions import Space

# Columns of `space.codes`: the operation, its kernel, its predecessors.
_OPERATION, _KERNEL, _PREDECESSORS = 0, 1, slice(2, None)


def mutate(space: Space, actions: Array, key: chex.PRNGKey) -> Array:
    """Change one code of a block into a near one that is legal at its place.

    The place is drawn from all decisions, the Terminal's included: a code that becomes
    a Terminal ends the block there, and a Terminal that becomes a code makes the block
    one layer longer. What changes is drawn from what can change there: the operation
    (into any other; kernel and predecessors stay as far as it has such), the kernel
    alone, or one predecessor alone.

    Args:
      space: the decision process.
      actions: a block, -1 after its end.  # [T]
      key: consumed.

    Returns:
      Another block.  # [T]
    """
    chex.assert_rank(actions, 1)
    place_key, group_key, what_key, tie_key = jax.random.split(key, 4)
    length = jnp.sum(actions >= 0, dtype=jnp.int32)
    step = jax.random.randint(place_key, (), 0, length)
    mutants = _mutants(space, step, actions[step], bits(group_key))
    what = _any_of(mutants.any(axis=1), bits(what_key))
    action = _any_of(mutants[what], bits(tie_key))
    stop = jnp.asarray(space.stop)
    longer = (actions[step] == stop[step]) & (jnp.arange(len(stop)) == step + 1)
    return end(space, jnp.where(longer, stop, actions).at[step].set(action))


def _mutants(space: Space, step: Array, action: Array, tie: Array) -> Array:
    """Mark the actions that operation, kernel or predecessor can become.  # [3, A]."""
    codes = jnp.asarray(space.codes)[step]
    legal = jnp.arange(len(codes)) < jnp.asarray(space.num_actions)[step]
    same = codes == codes[action][None]
    alike = same[:, 1:].sum(axis=1, dtype=jnp.int32)
    operation = legal & _another_group(space, step, action, tie)
    operation &= alike == jnp.where(operation, alike, -1).max()
    preds = same[:, _PREDECESSORS]
    kernel = same[:, _OPERATION] & ~same[:, _KERNEL] & preds.all(axis=1)
    one_pred = same[:, :2].all(axis=1) & (preds.sum(axis=1) == preds.shape[1] - 1)
    return jnp.stack([operation, legal & kernel, legal & one_pred])


def _another_group(space: Space, step: Array, action: Array, tie: Array) -> Array:
    """Mark the actions of a group that `action` is not of, drawn evenly.  # [A]."""
    starts = jnp.asarray(space.group_start)[step]
    ends = starts + jnp.asarray(space.group_size)[step]
    own = (starts <= action) & (action < ends)
    group = _any_of((ends > starts) & ~own, tie)
    places = jnp.arange(space.codes.shape[1])
    return (places >= starts[group]) & (places < ends[group])


def _any_of(marked: Array, tie: Array) -> Array:
    """Draw one of the places marked."""
    values = marked.astype(jnp.float32)
    return qtable.best(jnp.pad(values, (0, -len(values) % qtable.LANES)), tie)

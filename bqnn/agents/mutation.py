"""Mutation: change the operation, the kernel or one predecessor of one layer."""

import chex
import jax
import jax.numpy as jnp
from jax import Array

from bqnn.agents import qtable
from bqnn.agents.sampling import mask_after_stop, randint_bits
from bqnn.space.actions import Space

# Columns of `space.codes`: the operation, its kernel, its predecessors.
_OPERATION, _KERNEL, _PREDECESSORS = 0, 1, slice(2, None)


def mutate(space: Space, actions: Array, key: chex.PRNGKey) -> Array:
    """Change one code of a block into a similar one that is legal at its step.

    The step is drawn from all decisions, the Terminal's included. A code that becomes a
    Terminal ends the block there. A Terminal that becomes a code makes the block one
    layer longer. Then one of the changes that are possible at this step is drawn:

    - another operation, with as much of kernel and predecessors kept as it allows;
    - another kernel, and nothing else;
    - one other predecessor, and nothing else.

    Args:
      space: the decision process.
      actions: a block, int32 `[T]`, -1 after its end.
      key: consumed.

    Returns:
      Another block, int32 `[T]`; the same one if the code drawn is the only one that is
      legal at its step, as with few layer types.
    """
    chex.assert_rank(actions, 1)
    step_key, group_key, change_key, action_key = jax.random.split(key, 4)
    length = jnp.sum(actions >= 0, dtype=jnp.int32)
    step = jax.random.randint(step_key, (), 0, length)
    mutants = _mutants(space, step, actions[step], randint_bits(group_key))
    change = _random_index(mutants.any(axis=1), randint_bits(change_key))
    drawn = _random_index(mutants[change], randint_bits(action_key))
    action = jnp.where(mutants.any(), drawn, actions[step])
    stop = jnp.asarray(space.stop)
    # After a former Terminal stands a new one.
    longer = (actions[step] == stop[step]) & (jnp.arange(len(stop)) == step + 1)
    mutant = jnp.where(longer, stop, actions).at[step].set(action)
    return mask_after_stop(space, mutant)


def _mutants(space: Space, step: Array, action: Array, bits: Array) -> Array:
    """Mark what `action` can become, bool `[3, A]`: a row for every kind of change.

    Each row compares the code of every action with the old code, column by column
    (`=` equal, `!` different):

                      operation       kernel  predecessors
        operation     of one group    as many `=` as any action of the group has
        kernel        =               !       = =
        predecessor   =               =       = !  or  ! =
    """
    codes = jnp.asarray(space.codes)[step]
    legal = jnp.arange(len(codes)) < jnp.asarray(space.num_actions)[step]
    same = codes == codes[action][None]
    num_same = same[:, 1:].sum(axis=1, dtype=jnp.int32)
    operation = legal & _in_another_group(space, step, action, bits)
    operation &= num_same == jnp.where(operation, num_same, -1).max()
    preds = same[:, _PREDECESSORS]
    kernel = same[:, _OPERATION] & ~same[:, _KERNEL] & preds.all(axis=1)
    one_pred = same[:, :2].all(axis=1) & (preds.sum(axis=1) == preds.shape[1] - 1)
    return jnp.stack([operation, legal & kernel, legal & one_pred])


def _in_another_group(space: Space, step: Array, action: Array, bits: Array) -> Array:
    """Mark the actions of a random group, not that of `action`, bool `[A]`."""
    starts = jnp.asarray(space.group_start)[step]
    ends = starts + jnp.asarray(space.group_size)[step]
    own = (starts <= action) & (action < ends)
    others = (ends > starts) & ~own
    group = _random_index(others, bits)
    indices = jnp.arange(space.codes.shape[1])
    return others.any() & (indices >= starts[group]) & (indices < ends[group])


def _random_index(marked: Array, bits: Array) -> Array:
    """Draw the index of one of the marked elements."""
    values = marked.astype(jnp.float32)
    padded = jnp.pad(values, (0, -len(values) % qtable.LANES))
    return qtable.argmax_random_tie(padded, bits)

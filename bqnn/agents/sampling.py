"""Sampling of blocks: random draws, epsilon-greedy choices, the end of a block."""

import functools
import operator
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import Array, lax

from bqnn.agents import qtable
from bqnn.space.actions import Space


class Draws(NamedTuple):
    """All random numbers of a batch, drawn at once: they depend on no Q-value.

    Attributes:
      explore: uniform in [0, 1), float32 `[B, T]`; below epsilon, the step explores.
      action: the random action of a step that explores, int32 `[B, T]`.
      tie: bits that break the ties of a greedy step, uint32 `[B, T, 2]`.
    """

    explore: Array
    action: Array
    tie: Array


def draw(space: Space, exploration: str, keys: chex.PRNGKey) -> Draws:
    """Draw the random numbers of a block per key.

    Args:
      space: the decision process.
      exploration: as `QConfig.exploration`.
      keys: one for every block, `[B]`; consumed.
    """
    total = len(space.num_actions)

    def draw_one(key: chex.PRNGKey, step: Array) -> Draws:
        explore_key, random_key, tie_key = jax.random.split(
            jax.random.fold_in(key, step), 3
        )
        action = _EXPLORATIONS[exploration](space, random_key, step)
        return Draws(jax.random.uniform(explore_key), action, randint_bits(tie_key))

    steps = jnp.tile(jnp.arange(total), len(keys))
    flat = jax.vmap(draw_one)(jnp.repeat(keys, total), steps)
    return jax.tree.map(lambda x: x.reshape(len(keys), total, *x.shape[1:]), flat)


def sample_block(space: Space, q_values: Array, draws: Draws, epsilon: Array) -> Array:
    """Sample one block with epsilon-greedy, layer by layer.

    Args:
      space: the decision process.
      q_values: the table, float32 `[Q]`.
      draws: of one block, each `[T, ...]`.
      epsilon: the probability of a random action, float32 `[]`.

    Returns:
      Actions, int32 `[T]`, -1 after the end of the block.
    """

    def choose(
        width: int, previous: Array, at_t: tuple[Array, Draws]
    ) -> tuple[Array, Array]:
        step, draws = at_t
        values = qtable.row(space, q_values, step, previous, width)
        greedy = qtable.argmax_random_tie(values, draws.tie)
        action = jnp.where(draws.explore < epsilon, draws.action, greedy)
        return action, action

    all_steps = jnp.arange(len(space.num_actions))
    sampled, previous = [], jnp.zeros((), jnp.int32)
    for steps, width in qtable.bands(space):
        at_t = jax.tree.map(operator.itemgetter(steps), (all_steps, draws))
        previous, actions = lax.scan(functools.partial(choose, width), previous, at_t)
        sampled.append(actions)
    return mask_after_stop(space, jnp.concatenate(sampled))


def random_blocks(space: Space, exploration: str, keys: chex.PRNGKey) -> Array:
    """Sample a random block per key, int32 `[B, T]`. Consumes `keys`, `[B]`."""
    actions = draw(space, exploration, keys).action
    return jax.vmap(functools.partial(mask_after_stop, space))(actions)


def mask_after_stop(space: Space, actions: Array) -> Array:
    """Replace all actions after the first one that ends the block by -1, `[T]`."""
    stops = jnp.cumsum(actions == jnp.asarray(space.stop), dtype=jnp.int32)
    before = jnp.concatenate([jnp.zeros(1, jnp.int32), stops[:-1]])
    return jnp.where(before > 0, -1, actions)


def randint_bits(key: chex.PRNGKey) -> Array:
    """Draw the bits of `jax.random.randint`, uint32 `[2]`. Consumes `key`.

    They do not depend on the bounds, so they can be drawn before the number of ties is
    known; `qtable.randint_from_bits` turns them into the integer.
    """
    return jax.vmap(jax.random.bits)(jax.random.split(key))


def _explore_codes(space: Space, key: chex.PRNGKey, step: Array) -> Array:
    return jax.random.randint(key, (), 0, jnp.asarray(space.num_actions)[step])


def _explore_types(space: Space, key: chex.PRNGKey, step: Array) -> Array:
    """Draw a group that has actions, then one of its actions."""
    sizes = jnp.asarray(space.group_size)[step]
    group_key, member_key = jax.random.split(key)
    has_actions = (sizes > 0).astype(jnp.float32)
    group = qtable.argmax_random_tie(has_actions, randint_bits(group_key))
    member = jax.random.randint(member_key, (), 0, sizes[group])
    return jnp.asarray(space.group_start)[step, group] + member


_EXPLORATIONS: dict[str, Callable[[Space, chex.PRNGKey, Array], Array]] = {
    "codes": _explore_codes,
    "types": _explore_types,
}

"""Writing blocks: random draws, epsilon-greedy choices, the end of a block."""

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
    """All that is random in blocks, drawn at once: it depends on no Q-value.

    Attributes:
      explore: explores where below epsilon.  # [B, T] float32
      action: the action there.  # [B, T] int32
      tie: for a choice among the best actions elsewhere.  # [B, T, 2] uint32
    """

    explore: Array
    action: Array
    tie: Array


def draw(space: Space, exploration: str, keys: chex.PRNGKey) -> Draws:
    """Draw for a block per key, in one flat row. Consumes `keys`.  # [B]."""
    total = len(space.num_actions)

    def draw_one(key: chex.PRNGKey, step: Array) -> Draws:
        explore_key, random_key, tie_key = jax.random.split(
            jax.random.fold_in(key, step), 3
        )
        action = _EXPLORATIONS[exploration](space, random_key, step)
        return Draws(jax.random.uniform(explore_key), action, bits(tie_key))

    steps = jnp.tile(jnp.arange(total), len(keys))
    flat = jax.vmap(draw_one)(jnp.repeat(keys, total), steps)
    return jax.tree.map(lambda x: x.reshape(len(keys), total, *x.shape[1:]), flat)


def write(space: Space, q_values: Array, draws: Draws, epsilon: Array) -> Array:
    """Write one block with epsilon-greedy, code by code.  # [T]."""

    def choose(
        width: int, previous: Array, at_t: tuple[Array, Draws]
    ) -> tuple[Array, Array]:
        step, draws = at_t
        values = qtable.row(space, q_values, step, previous, width)
        greedy = qtable.best(values, draws.tie)
        action = jnp.where(draws.explore < epsilon, draws.action, greedy)
        return action, action

    all_steps = jnp.arange(len(space.num_actions))
    written, previous = [], jnp.zeros((), jnp.int32)
    for steps, width in qtable.bands(space):
        at_t = jax.tree.map(operator.itemgetter(steps), (all_steps, draws))
        previous, actions = lax.scan(functools.partial(choose, width), previous, at_t)
        written.append(actions)
    return end(space, jnp.concatenate(written))


def random_blocks(space: Space, exploration: str, keys: chex.PRNGKey) -> Array:
    """Write a random block per key. Consumes `keys`.  # [B, T]."""
    actions = draw(space, exploration, keys).action
    return jax.vmap(functools.partial(end, space))(actions)


def end(space: Space, actions: Array) -> Array:
    """End a block after the first action that stops it: -1 from there on.  # [T]."""
    stops = jnp.cumsum(actions == jnp.asarray(space.stop), dtype=jnp.int32)
    after = jnp.concatenate([jnp.zeros(1, jnp.int32), stops[:-1]])
    return jnp.where(after > 0, -1, actions)


def bits(key: chex.PRNGKey) -> Array:
    """Draw the bits of `jax.random.randint`, whatever its bounds.  # [2]."""
    return jax.vmap(jax.random.bits)(jax.random.split(key))


def _explore_codes(space: Space, key: chex.PRNGKey, step: Array) -> Array:
    return jax.random.randint(key, (), 0, jnp.asarray(space.num_actions)[step])


def _explore_types(space: Space, key: chex.PRNGKey, step: Array) -> Array:
    """Draw a group that has actions, then one of its actions."""
    sizes = jnp.asarray(space.group_size)[step]
    group_key, member_key = jax.random.split(key)
    group = qtable.best((sizes > 0).astype(jnp.float32), bits(group_key))
    member = jax.random.randint(member_key, (), 0, sizes[group])
    return jnp.asarray(space.group_start)[step, group] + member


_EXPLORATIONS: dict[str, Callable[[Space, chex.PRNGKey, Array], Array]] = {
    "codes": _explore_codes,
    "types": _explore_types,
}

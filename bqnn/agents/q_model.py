"""Q-learning that writes, and a Gaussian process that chooses (ours).

Each batch, half a pool of new blocks comes from the Q-table by epsilon-greedy, half are
mutants of the best blocks told. The process foretells their rewards from all that was
told, and a Thompson sample for every slot takes one (after BANANAS, White, Neiswanger
and Savani, AAAI 2021, which takes mutants of the best and an ensemble of networks).

For a front, every value is foretold, and every slot draws a direction of its own, by
which their samples are one (Paria, Kandasamy and Poczos, UAI 2019).
"""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
from jax import Array, lax

from bqnn.agents import front, novelty, q, replay
from bqnn.agents import gaussian_process as gp
from bqnn.agents.learner import Learner, key_of
from bqnn.agents.mutation import mutate
from bqnn.agents.q import QState
from bqnn.agents.replay import ReplayMemory
from bqnn.agents.sampling import random_blocks
from bqnn.config import AgentConfig, QModelConfig, schedule
from bqnn.space.actions import Space


def make_q_model(
    space: Space, config: AgentConfig, batch: int, learnt: int = 0
) -> Learner:
    """Build the agent. Its state is that of `q`: the table, and what was told.

    Args:
      space: the decision process.
      config: the fields of `config.q_model`; `schedule`, for its length.
      batch: B, blocks per iteration.
      learnt: blocks told before those of the first iteration.
    """
    # Nothing is asked twice, whatever the field that `q` has for it says.
    model = dataclasses.replace(config.q_model, distinct=True)
    iterations = schedule.parse(config.schedule).iterations
    epsilons = schedule.stretched(model.schedule, iterations).epsilons
    writer = q.make_learner(space, model, epsilons, batch, learnt, config.told)
    sample = functools.partial(_sample, space, model, batch, learnt)
    return writer._replace(sample=sample, heeds_pending=True)


def _sample(
    space: Space,
    config: QModelConfig,
    batch: int,
    learnt: int,
    state: QState,
    iteration: Array,
    epsilon: Array,
    pending: Array,
) -> Array:
    pool_key, choice_key = jax.random.split(key_of(state.key, iteration, "ask"))
    direction_key = key_of(state.key, iteration, "ask_weights")
    half = max(config.pool, 2 * novelty.TRIES * batch) // 2
    values = state.memory.values
    of_parents, of_slots = jnp.split(
        front.draw_directions(direction_key, values, half + batch), [half]
    )
    pool = _pool(space, config, state, epsilon, pool_key, of_parents)
    keys, pending_keys = novelty.keys_of(space.key, pool, pending)
    assert state.memory.keys is not None
    known = jnp.concatenate([state.memory.keys, pending_keys])
    most = learnt + iteration * batch
    best = replay.weighed(state.memory, of_slots[0])
    rows = _remembered(best, config.most_told)
    post = _foretell(space, config, state.memory, rows, pending, pool, most)
    new = ~novelty.is_in(keys, known)
    return pool[_choose(post, keys, new, choice_key, of_slots)]


def _pool(
    space: Space,
    config: QModelConfig,
    state: QState,
    epsilon: Array,
    key: chex.PRNGKey,
    directions: Array,
) -> Array:
    """Write blocks, int32 `[P, T]`: random ones until `config.first` were told.

    The second half are mutants, for each of which there is a direction, `[P / 2, V]`.
    """
    half = len(directions)
    keys = jax.random.split(key, 2 * half)
    is_first = state.memory.size < config.first
    # From epsilon to 1: where all blocks near the greedy one are known, others are not.
    epsilons = novelty.rising(jnp.where(is_first, 1, epsilon), half)
    written = q.propose(
        space, config.exploration, state.q_values, keys[:half], epsilons
    )
    mutants = lax.cond(
        is_first,
        lambda: random_blocks(space, config.exploration, keys[half:]),
        lambda: _mutants(space, config.parents, state.memory, keys[half:], directions),
    )
    return jnp.concatenate([written, mutants])


def _mutants(
    space: Space,
    parents: int,
    memory: ReplayMemory,
    keys: chex.PRNGKey,
    directions: Array,
) -> Array:
    """Mutate, for every key, one of the best blocks told; in a direction, if many."""
    told, count = replay.is_told(memory), min(parents, len(memory.rewards))
    if memory.rewards.ndim == 2:
        count = 1  # the directions differ: all of the front are parents

    def mutant(key: chex.PRNGKey, direction: Array) -> Array:
        rewards = replay.weighed(memory, direction).rewards
        _, best = lax.top_k(jnp.where(told, rewards, -jnp.inf), count)
        parent_key, mutate_key = jax.random.split(key)
        limit = jnp.minimum(count, memory.size)
        parent = best[jax.random.randint(parent_key, (), 0, limit)]
        return mutate(space, memory.actions[parent], mutate_key)

    return jax.vmap(mutant)(keys, directions)


def _foretell(
    space: Space,
    config: QModelConfig,
    memory: ReplayMemory,
    rows: Array,
    pending: Array,
    pool: Array,
    most: Array,
) -> gp.Posterior:
    """Condition on these rows of the memory, and on what is in flight.

    Returns:
      What is foretold of the pool, `[P]` each; of V values `[V, P]`.
    """
    pending = pending[: config.most_told]
    actions = jnp.concatenate([memory.actions[rows], pending])
    # Of all at once, for the program of the features takes a second to compile.
    features = jax.vmap(space.features)(jnp.concatenate([actions, pool]))
    whole = len(pending) > 0 or len(memory.rewards) > config.most_told
    count = len(actions) if whole else jnp.minimum(most, len(actions))

    def foretell(rewards: Array) -> gp.Posterior:
        facts = gp.Facts(
            features=features[: len(actions)],
            rewards=rewards,
            told=rows < memory.size,
            pending=pending[:, 0] >= 0,
        )
        at_pool = features[len(actions) :]
        return gp.posterior(facts, at_pool, config.noise, jnp.asarray(count))

    if memory.rewards.ndim == 1:
        return foretell(memory.rewards[rows])
    values = front.normalised(memory.rewards, replay.is_told(memory))
    return jax.vmap(foretell, in_axes=1)(values[rows])


def _remembered(memory: ReplayMemory, most: int) -> Array:
    """Choose what the model is told: the best half and the newest, `most` in all.

    Returns:
      Rows of the memory, int32 `[min(M, most)]`; all of them if they are few.
    """
    capacity = len(memory.rewards)
    place = jnp.arange(capacity)
    if capacity <= most:
        return place
    told = place < memory.size
    _, best = lax.top_k(jnp.where(told, memory.rewards, -jnp.inf), most // 2)
    rest = jnp.where(told, place, -1 - place).at[best].set(-capacity - 1)
    return jnp.concatenate([best, lax.top_k(rest, most - most // 2)[1]])


def _choose(
    post: gp.Posterior, keys: Array, new: Array, key: chex.PRNGKey, directions: Array
) -> Array:
    """Take the largest Thompson sample of each slot among new blocks, `[B]`."""

    def take(free: Array, slot: tuple[chex.PRNGKey, Array]) -> tuple[Array, Array]:
        draws = _draw(post, *slot)
        index = jnp.argmax(jnp.where(free, draws, -jnp.inf))
        return free & (keys != keys[index]), index

    slots = jax.random.split(key, len(directions)), directions
    return lax.scan(take, new, slots)[1]


def _draw(post: gp.Posterior, key: chex.PRNGKey, direction: Array) -> Array:
    """Draw a Thompson sample of every block, of many values one; float32 `[P]`."""
    points = post.mean.shape[-1]
    if post.mean.ndim == 1:
        return gp.thompson(post, gp.random_bits(key, points))
    parts = jax.random.split(key, len(post.mean))
    bits = jnp.stack([gp.random_bits(part, points) for part in parts])
    return front.scalarised(jax.vmap(gp.thompson)(post, bits).T, direction)

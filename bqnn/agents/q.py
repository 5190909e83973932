"""Q-learning with epsilon-greedy and replay (the paper).

`q_plus` is the learner of `q` with other values of the same fields, in a section of its
own: `agent.name` alone chooses it, and every switch can be set for `q` too.
"""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from numpy.typing import NDArray

from bqnn.agents import front, novelty, qtable, replay, sampling
from bqnn.agents.learner import Learner, key_of
from bqnn.agents.replay import ReplayMemory
from bqnn.config import AgentConfig, QConfig, schedule
from bqnn.numerics import seed_key
from bqnn.space.actions import Int32, Space
from bqnn.space.keys import row_key


class QState(NamedTuple):
    """State of Q-learning.

    Attributes:
      q_values: the flat Q-table, float32 `[Q]`.
      memory: every block told.
      key: the key of the search, uint32 `[2]`.
      iteration: batches told so far, int32 `[]`.
    """

    q_values: Array
    memory: ReplayMemory
    key: Array
    iteration: Array


def make_q(space: Space, config: AgentConfig, batch: int, learnt: int = 0) -> Learner:
    """Build the Q-learning of the paper.

    Args:
      space: the decision process.
      config: the fields of `QConfig`.
      batch: B, blocks per iteration.
      learnt: blocks told before those of the first iteration.
    """
    epsilons = schedule.parse(config.schedule).epsilons
    return make_learner(space, config, epsilons, batch, learnt, config.told)


def make_q_plus(
    space: Space, config: AgentConfig, batch: int, learnt: int = 0
) -> Learner:
    """Build Q-learning with the fields of `config.q_plus`.

    Its epsilons are stretched over the iterations of `config.schedule`, which is the
    length of a search for all agents.
    """
    iterations = schedule.parse(config.schedule).iterations
    epsilons = schedule.stretched(config.q_plus.schedule, iterations).epsilons
    return make_learner(space, config.q_plus, epsilons, batch, learnt, config.told)


def make_learner(
    space: Space,
    config: QConfig,
    epsilons: tuple[float, ...],
    batch: int,
    learnt: int,
    told: tuple[int, ...],
) -> Learner:
    """Build Q-learning with an epsilon for every iteration."""
    capacity = learnt + len(epsilons) * batch
    return Learner(
        init=functools.partial(init, space, config, capacity, told),
        sample=functools.partial(_sample_batch, space, config, batch),
        tell=functools.partial(tell, space, config),
        epsilons=epsilons,
        changes=functools.partial(changes, space, config, batch),
        heeds_pending=config.distinct,
    )


def greedy_actions(space: Space, q_values: NDArray[np.float32]) -> Int32:
    """Follow the largest Q-value from the first step on; the first of equal ones.

    Args:
      space: the decision process.
      q_values: the table on the host, float32 `[Q]`.

    Returns:
      Actions, int32 `[T]`, -1 after the end of the block.
    """
    actions = np.full(len(space.num_actions), -1, np.int32)
    action = 0
    for t, count in enumerate(space.num_actions):
        start = space.row_start[t] + action * count
        action = int(np.argmax(q_values[start : start + count]))
        actions[t] = action
        if action == space.stop[t]:
            break
    return actions


def init(
    space: Space,
    config: QConfig,
    capacity: int,
    told: tuple[int, ...],
    seed: ArrayLike,
) -> QState:
    """Make the first state, with room for `capacity` blocks."""
    return QState(
        q_values=qtable.init(space, config.q_init),
        memory=replay.init(capacity, len(space.num_actions), config.distinct, told),
        key=seed_key(seed),
        iteration=jnp.zeros((), jnp.int32),
    )


def tell(
    space: Space, config: QConfig, state: QState, actions: Array, rewards: Array
) -> QState:
    """Add a batch to the memory, then learn from draws of it, or from the batch."""
    memory = replay.add(space, state.memory, actions, rewards)
    lessons = _lessons(config, memory, state.key, state.iteration, len(rewards))
    rule = qtable.UpdateRule(config.alpha, config.gamma, config.shaped, config.spread)

    def learn(q_values: Array, block: tuple[Array, Array]) -> tuple[Array, None]:
        return qtable.update(space, rule, q_values, *block), None

    q_values, _ = lax.scan(learn, state.q_values, lessons)
    return QState(q_values, memory, state.key, state.iteration + 1)


def _lessons(
    config: QConfig, memory: ReplayMemory, bits: Array, iteration: Array, told: int
) -> tuple[Array, Array]:
    """Draw what to learn from, after `told` blocks were added to the memory."""
    direction_key = key_of(bits, iteration, "tell_weight")
    (direction,) = front.draw_directions(direction_key, memory.values, 1)
    memory, key = replay.weighed(memory, direction), key_of(bits, iteration, "tell")
    if not config.replay_updates:
        return replay.told_last(memory, told)
    return replay.sample(
        memory, key, config.replay_updates, config.replay_newest, config.replay_best
    )


def changes(
    space: Space, config: QConfig, batch: int, state: QState
) -> tuple[Array, ...]:
    """Draw the lessons of the last `tell` again, and read all that it has written."""
    actions, _ = _lessons(config, state.memory, state.key, state.iteration - 1, batch)
    cells = jax.vmap(functools.partial(qtable.cells_of, space))(actions)
    values = jnp.where(actions >= 0, state.q_values[cells], 0)
    told = replay.told_last(state.memory, batch)
    return actions, values, *told, state.memory.size, state.iteration


def _sample_batch(
    space: Space,
    config: QConfig,
    batch: int,
    state: QState,
    iteration: Array,
    epsilon: Array,
    pending: Array,
) -> Array:
    """Sample a batch of blocks, `[B, T]`."""
    q_values = state.q_values
    key = key_of(state.key, iteration, "ask")
    if config.distinct or config.unique:
        draw = functools.partial(propose, space, config.exploration, q_values)
        asking = novelty.Asking(key, batch, epsilon)
        if config.distinct:
            known = state.memory.keys
            assert known is not None
            return novelty.choose(draw, space.key, known, pending, asking)
        codes = jax.vmap(row_key)(state.memory.actions)
        return novelty.choose(draw, row_key, codes, pending[:0], asking)
    draws = sampling.draw(space, config.exploration, jax.random.split(key, batch))
    sample = functools.partial(sampling.sample_block, space, q_values)
    return lax.cond(
        epsilon < 1,
        lambda: jax.vmap(sample, in_axes=(0, None))(draws, epsilon),
        # All is random: no Q-value need be read.
        lambda: jax.vmap(functools.partial(sampling.mask_after_stop, space))(
            draws.action
        ),
    )


def propose(
    space: Space, exploration: str, q_values: Array, keys: chex.PRNGKey, epsilons: Array
) -> Array:
    """Sample a block per key, each with an epsilon of its own, `[keys, T]`."""
    draws = sampling.draw(space, exploration, keys)
    sample = functools.partial(sampling.sample_block, space, q_values)
    return jax.vmap(sample)(draws, epsilons)

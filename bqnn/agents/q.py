"""Q-learning with epsilon-greedy and replay (the paper).

The switches of `QConfig` beyond the paper are off for `q` and on for `q_plus`.
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

from bqnn.agents import novelty as unseen
from bqnn.agents import qtable, replay, sampling
from bqnn.agents.learner import Learner, key_of
from bqnn.agents.replay import ReplayMemory
from bqnn.config import AgentConfig, QConfig, schedule
from bqnn.numerics import seed_key
from bqnn.space.actions import Int32, Space


class QState(NamedTuple):
    """What Q-learning has learnt.

    Attributes:
      q_values: the flat Q-table.  # [S] float32
      memory: every block told.
      key: the key of the search.  # [2] uint32
      iteration: batches told so far.  # [] int32
      visits: how often each action was told, where optimism needs it.  # [S] int32
    """

    q_values: Array
    memory: ReplayMemory
    key: Array
    iteration: Array
    visits: Array | None = None


def make_q(space: Space, config: AgentConfig, batch: int) -> Learner:
    """Build the Q-learning of the paper.

    Args:
      space: what may be chosen at each step.
      config: learning rate, epsilon schedule, replay and exploration.
      batch: blocks per iteration.
    """
    return _make(space, config, schedule.parse(config.schedule).epsilons, batch)


def make_q_plus(space: Space, config: AgentConfig, batch: int) -> Learner:
    """Build the paper's agent with the switches of `config.q_plus`.

    Its epsilons are stretched over the iterations of `config.schedule`.
    """
    iterations = schedule.parse(config.schedule).iterations
    epsilons = schedule.stretched(config.q_plus.schedule, iterations).epsilons
    return _make(space, config.q_plus, epsilons, batch)


def _make(
    space: Space, config: QConfig, epsilons: tuple[float, ...], batch: int
) -> Learner:
    capacity = len(epsilons) * batch
    return Learner(
        init=functools.partial(_init, space, config, capacity),
        sample=functools.partial(_sample_batch, space, config, batch),
        tell=functools.partial(_tell, space, config),
        epsilons=epsilons,
    )


def greedy_actions(space: Space, q_values: NDArray[np.float32]) -> Int32:
    """Follow the largest Q-value from the first step on, ties to the first.  # [T].

    Args:
      space: the decision process.
      q_values: the table, on the host.  # [S]
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


def _init(space: Space, config: QConfig, capacity: int, seed: ArrayLike) -> QState:
    q_values = qtable.init(space, config.q_init)
    return QState(
        q_values=q_values,
        memory=replay.init(capacity, len(space.num_actions)),
        key=seed_key(seed),
        iteration=jnp.zeros((), jnp.int32),
        visits=jnp.zeros(q_values.shape, jnp.int32) if config.optimism else None,
    )


def _tell(
    space: Space, config: QConfig, state: QState, actions: Array, rewards: Array
) -> QState:
    """Remember a batch, then learn from the memory, or from the batch without one."""
    memory = replay.add(state.memory, actions, rewards)
    visits = state.visits
    if visits is not None:
        visits = qtable.count(space, visits, actions)
    if config.replay_updates:
        key = key_of(state.key, state.iteration, "tell")
        actions, rewards = replay.sample(
            memory, key, config.replay_updates, config.replay_newest, config.replay_best
        )
    rule = qtable.UpdateRule(config.alpha, config.gamma, config.shaped, config.spread)

    def learn(q_values: Array, block: tuple[Array, Array]) -> tuple[Array, None]:
        return qtable.update(space, rule, q_values, *block), None

    q_values, _ = lax.scan(learn, state.q_values, (actions, rewards))
    return QState(q_values, memory, state.key, state.iteration + 1, visits)


def _sample_batch(
    space: Space,
    config: QConfig,
    batch: int,
    state: QState,
    iteration: Array,
    epsilon: Array,
) -> Array:
    """Write a batch of blocks.  # [B, T]."""
    values = state.q_values
    if state.visits is not None:
        counts = 1 + state.visits.astype(jnp.float32)
        values = values + jnp.float32(config.optimism) / counts
    key = key_of(state.key, iteration, "ask")
    if config.unique:
        propose = functools.partial(_propose, space, config.exploration, values)
        asking = unseen.Asking(key, batch, epsilon)
        return unseen.choose(propose, state.memory.actions, asking)
    draws = sampling.draw(space, config.exploration, jax.random.split(key, batch))
    write = functools.partial(sampling.write, space, values)
    return lax.cond(
        epsilon < 1,
        lambda: jax.vmap(write, in_axes=(0, None))(draws, epsilon),
        lambda: jax.vmap(functools.partial(sampling.end, space))(draws.action),
    )


def _propose(
    space: Space, exploration: str, values: Array, keys: chex.PRNGKey, epsilons: Array
) -> Array:
    """Write a block per key, each with an epsilon of its own.  # [N, T]."""
    draws = sampling.draw(space, exploration, keys)
    return jax.vmap(functools.partial(sampling.write, space, values))(draws, epsilons)

"""The agent: ask for a batch of blocks, tell their rewards (the paper, algorithm 1).

Keys are folded from the seed and the number of the iteration, never carried, so that
a state depends on the rewards told and on nothing else.
"""

import functools
import hashlib
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from bqnn import qtable, replay, schedule
from bqnn.config import AgentConfig, SearchConfig
from bqnn.replay import ReplayMemory
from bqnn.space import Int32, Space


class AgentState(NamedTuple):
    """What the agent has learnt.

    Attributes:
      q_values: the flat Q-table.  # [S] float32
      memory: every block told.
      key: the key of the search.  # [2] uint32
      iteration: batches told so far.  # [] int32
    """

    q_values: Array
    memory: ReplayMemory
    key: Array
    iteration: Array


class AskInfo(NamedTuple):
    """What to report of an ask: the epsilon it used."""

    epsilon: float


class Agent(NamedTuple):
    """A learner as pure functions.

    Attributes:
      init: () -> the first state.
      ask: (state, iteration) -> (actions, info). Draws the batch of that iteration
        with epsilon-greedy.  # [B, T] int32
      tell: (state, actions [B, T], rewards [B]) -> the next state. Takes over the
        buffers of the state given.
    """

    init: Callable[[], AgentState]
    ask: Callable[[AgentState, int], tuple[Int32, AskInfo]]
    tell: Callable[[AgentState, ArrayLike, ArrayLike], AgentState]


def make_agent(space: Space, config: AgentConfig, search: SearchConfig) -> Agent:
    """Build the Q-learning agent of the paper.

    Args:
      space: what may be chosen at each step.
      config: learning rate, epsilon schedule, replay and exploration.
      search: batch size and seed.
    """
    epsilons = schedule.parse(config.schedule).epsilons
    capacity = len(epsilons) * search.batch
    # What accelerators round differently is no part of the agent, whose arithmetic
    # must be the same on every machine: it always runs on the host.
    host = jax.local_devices(backend="cpu")[0]
    rule = qtable.UpdateRule(config.alpha, config.gamma, config.shaped)
    sample = jax.jit(
        functools.partial(_sample_batch, space, config.exploration, search.batch)
    )
    tell = functools.partial(_tell, space, rule, config.replay_updates)

    def init() -> AgentState:
        with jax.default_device(host):
            state = _init(space, config.q_init, capacity, search.seed)
        return jax.device_put(state, host)

    def ask(state: AgentState, iteration: int) -> tuple[Int32, AskInfo]:
        epsilon = epsilons[iteration]
        actions = sample(state, np.int32(iteration), np.float32(epsilon))
        return np.asarray(actions), AskInfo(epsilon)

    return Agent(init, ask, jax.jit(tell, donate_argnums=0))


def digest(state: AgentState) -> str:
    """Hash every bit of `state` (sha256, hexadecimal)."""
    sha = hashlib.sha256()
    for leaf in jax.tree.leaves(state):
        sha.update(np.ascontiguousarray(leaf).data)
    return sha.hexdigest()


def greedy_actions(space: Space, state: AgentState) -> Int32:
    """Write the block that the agent holds best, ties to the first.  # [T] int32."""
    draw = functools.partial(_sample_block, space, "codes")
    key = jax.random.wrap_key_data(state.key, impl="threefry2x32")
    return np.asarray(jax.jit(draw)(state.q_values, np.float32(0), key))


def _init(space: Space, q_init: float, capacity: int, seed: int) -> AgentState:
    return AgentState(
        q_values=qtable.init(space, q_init),
        memory=replay.init(capacity, len(space.num_actions)),
        key=jax.random.key_data(jax.random.key(seed, impl="threefry2x32")),
        iteration=jnp.zeros((), jnp.int32),
    )


def _sample_batch(
    space: Space,
    exploration: str,
    batch: int,
    state: AgentState,
    iteration: Array,
    epsilon: Array,
) -> Array:
    """Write a batch of blocks.  # [B, T]."""
    keys = jax.random.split(_key(state, iteration, "ask"), batch)
    draw = functools.partial(_sample_block, space, exploration, state.q_values, epsilon)
    return jax.vmap(draw)(keys)


def _tell(
    space: Space,
    rule: qtable.UpdateRule,
    replay_updates: int,
    state: AgentState,
    actions: Array,
    rewards: Array,
) -> AgentState:
    """Remember a batch, then learn from the memory, or from the batch without one."""
    memory = replay.add(state.memory, actions, rewards)
    if replay_updates:
        key = _key(state, state.iteration, "tell")
        actions, rewards = replay.sample(memory, key, replay_updates)

    def learn(q_values: Array, block: tuple[Array, Array]) -> tuple[Array, None]:
        return qtable.update(space, rule, q_values, *block), None

    q_values, _ = lax.scan(learn, state.q_values, (actions, rewards))
    return AgentState(q_values, memory, state.key, state.iteration + 1)


_STREAMS = {"ask": 0, "tell": 1}


def _key(state: AgentState, iteration: Array, stream: str) -> chex.PRNGKey:
    key = jax.random.wrap_key_data(state.key, impl="threefry2x32")
    return jax.random.fold_in(jax.random.fold_in(key, iteration), _STREAMS[stream])


def _sample_block(
    space: Space,
    exploration: str,
    q_values: Array,
    epsilon: Array,
    key: chex.PRNGKey,
) -> Array:
    """Write one block with epsilon-greedy, code by code.  # [T]. Consumes `key`."""

    def choose(
        carry: tuple[Array, Array], step: Array
    ) -> tuple[tuple[Array, Array], Array]:
        previous, done = carry
        explore_key, random_key, tie_key = jax.random.split(
            jax.random.fold_in(key, step), 3
        )
        greedy = _best(qtable.row(space, q_values, step, previous), tie_key)
        random = _EXPLORATIONS[exploration](space, random_key, step)
        explore = jax.random.uniform(explore_key) < epsilon
        action = jnp.where(explore, random, greedy)
        written = jnp.where(done, -1, action)
        done = done | (action == jnp.asarray(space.stop)[step])
        return (action, done), written

    start = (jnp.zeros((), jnp.int32), jnp.zeros((), bool))
    return lax.scan(choose, start, jnp.arange(len(space.num_actions)))[1]


def _best(values: Array, key: chex.PRNGKey) -> Array:
    """Return the place of the largest value; ties are broken at random (ours)."""
    ties = values == values.max()
    nth = jax.random.randint(key, (), 0, ties.sum(dtype=jnp.int32))
    return jnp.argmax(jnp.cumsum(ties, dtype=jnp.int32) > nth).astype(jnp.int32)


def _explore_codes(space: Space, key: chex.PRNGKey, step: Array) -> Array:
    return jax.random.randint(key, (), 0, jnp.asarray(space.num_actions)[step])


def _explore_types(space: Space, key: chex.PRNGKey, step: Array) -> Array:
    """Draw a group that has actions, then one of its actions."""
    sizes = jnp.asarray(space.group_size)[step]
    group_key, member_key = jax.random.split(key)
    group = _best((sizes > 0).astype(jnp.float32), group_key)
    member = jax.random.randint(member_key, (), 0, sizes[group])
    return jnp.asarray(space.group_start)[step, group] + member


_EXPLORATIONS = {"codes": _explore_codes, "types": _explore_types}

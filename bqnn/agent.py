"""The agent: ask for a batch of blocks, tell their rewards (the paper, algorithm 1).

Keys are folded from the seed and the number of the iteration, never carried, so that
a state depends on the rewards told and on nothing else.
"""

import functools
import hashlib
import operator
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


class Learner(NamedTuple):
    """The agent as pure functions of arrays, which `jax.vmap` takes over seeds.

    Attributes:
      init: (seed []) -> the first state.
      sample: (state, iteration [], epsilon []) -> actions. Writes the batch of that
        iteration with epsilon-greedy.  # [B, T] int32
      tell: (state, actions [B, T], rewards [B]) -> the next state.
    """

    init: Callable[[ArrayLike], AgentState]
    sample: Callable[[AgentState, ArrayLike, ArrayLike], Array]
    tell: Callable[[AgentState, ArrayLike, ArrayLike], AgentState]


class AskInfo(NamedTuple):
    """What to report of an ask: the epsilon it used."""

    epsilon: float


class Agent(NamedTuple):
    """A learner bound to a seed, a schedule and the host.

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


def make_learner(space: Space, config: AgentConfig, batch: int) -> Learner:
    """Build the Q-learning of the paper.

    Args:
      space: what may be chosen at each step.
      config: learning rate, epsilon schedule, replay and exploration.
      batch: blocks per iteration.
    """
    capacity = schedule.parse(config.schedule).iterations * batch
    rule = qtable.UpdateRule(config.alpha, config.gamma, config.shaped)
    return Learner(
        init=functools.partial(_init, space, config.q_init, capacity),
        sample=functools.partial(_sample_batch, space, config.exploration, batch),
        tell=functools.partial(_tell, space, rule, config.replay_updates),
    )


def make_agent(space: Space, config: AgentConfig, search: SearchConfig) -> Agent:
    """Build the Q-learning agent of the paper.

    Args:
      space: what may be chosen at each step.
      config: learning rate, epsilon schedule, replay and exploration.
      search: batch size and seed.
    """
    epsilons = schedule.parse(config.schedule).epsilons
    learner = make_learner(space, config, search.batch)
    # What accelerators round differently is no part of the agent, whose arithmetic
    # must be the same on every machine: it always runs on the host.
    host = jax.local_devices(backend="cpu")[0]
    sample = jax.jit(learner.sample)

    def init() -> AgentState:
        with jax.default_device(host):
            state = learner.init(search.seed)
        return jax.device_put(state, host)

    def ask(state: AgentState, iteration: int) -> tuple[Int32, AskInfo]:
        epsilon = epsilons[iteration]
        actions = sample(state, np.int32(iteration), np.float32(epsilon))
        return np.asarray(actions), AskInfo(epsilon)

    return Agent(init, ask, jax.jit(learner.tell, donate_argnums=0))


def digest(state: AgentState) -> str:
    """Hash every bit of `state` (sha256, hexadecimal)."""
    sha = hashlib.sha256()
    for leaf in jax.tree.leaves(state):
        sha.update(np.ascontiguousarray(leaf).data)
    return sha.hexdigest()


def greedy_actions(space: Space, state: AgentState) -> Int32:
    """Write the block that the agent holds best, ties to the first.  # [T] int32."""

    def write(q_values: Array, key: chex.PRNGKey) -> Array:
        draws = jax.tree.map(lambda x: x[0], _draw(space, "codes", key[None]))
        return _write(space, q_values, draws, jnp.float32(0))

    key = jax.random.wrap_key_data(state.key, impl="threefry2x32")
    return np.asarray(jax.jit(write)(state.q_values, key))


def _init(space: Space, q_init: float, capacity: int, seed: ArrayLike) -> AgentState:
    return AgentState(
        q_values=qtable.init(space, q_init),
        memory=replay.init(capacity, len(space.num_actions)),
        key=jax.random.key_data(jax.random.key(seed, impl="threefry2x32")),
        iteration=jnp.zeros((), jnp.int32),
    )


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
    draws = _draw(space, exploration, keys)
    write = functools.partial(_write, space, state.q_values)
    return lax.cond(
        epsilon < 1,
        lambda: jax.vmap(write, in_axes=(0, None))(draws, epsilon),
        lambda: jax.vmap(functools.partial(_end, space))(draws.action),
    )


class _Draws(NamedTuple):
    """All that is random in blocks, drawn at once: it depends on no Q-value.

    Attributes:
      explore: explores where below epsilon.  # [B, T] float32
      action: the action there.  # [B, T] int32
      tie: for a choice among the best actions elsewhere.  # [B, T, 2] uint32
    """

    explore: Array
    action: Array
    tie: Array


def _draw(space: Space, exploration: str, keys: chex.PRNGKey) -> _Draws:
    """Draw for a block per key, in one flat row. Consumes `keys`.  # [B]."""
    total = len(space.num_actions)

    def draw(key: chex.PRNGKey, step: Array) -> _Draws:
        explore_key, random_key, tie_key = jax.random.split(
            jax.random.fold_in(key, step), 3
        )
        action = _EXPLORATIONS[exploration](space, random_key, step)
        return _Draws(jax.random.uniform(explore_key), action, _bits(tie_key))

    steps = jnp.tile(jnp.arange(total), len(keys))
    flat = jax.vmap(draw)(jnp.repeat(keys, total), steps)
    return jax.tree.map(lambda x: x.reshape(len(keys), total, *x.shape[1:]), flat)


def _write(space: Space, q_values: Array, draws: _Draws, epsilon: Array) -> Array:
    """Write one block with epsilon-greedy, code by code.  # [T]."""

    def choose(
        width: int, previous: Array, at_t: tuple[Array, _Draws]
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
    return _end(space, jnp.concatenate(written))


def _end(space: Space, actions: Array) -> Array:
    """End a block after the first action that stops it: -1 from there on.  # [T]."""
    stops = jnp.cumsum(actions == jnp.asarray(space.stop), dtype=jnp.int32)
    after = jnp.concatenate([jnp.zeros(1, jnp.int32), stops[:-1]])
    return jnp.where(after > 0, -1, actions)


def _bits(key: chex.PRNGKey) -> Array:
    """Draw the bits of `jax.random.randint`, whatever its bounds.  # [2]."""
    return jax.vmap(jax.random.bits)(jax.random.split(key))


def _explore_codes(space: Space, key: chex.PRNGKey, step: Array) -> Array:
    return jax.random.randint(key, (), 0, jnp.asarray(space.num_actions)[step])


def _explore_types(space: Space, key: chex.PRNGKey, step: Array) -> Array:
    """Draw a group that has actions, then one of its actions."""
    sizes = jnp.asarray(space.group_size)[step]
    group_key, member_key = jax.random.split(key)
    group = qtable.best((sizes > 0).astype(jnp.float32), _bits(group_key))
    member = jax.random.randint(member_key, (), 0, sizes[group])
    return jnp.asarray(space.group_start)[step, group] + member


_EXPLORATIONS = {"codes": _explore_codes, "types": _explore_types}

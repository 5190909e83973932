"""The agent: ask for a batch of blocks, tell their rewards (the paper, algorithm 1)."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from bqnn.agent_config import AgentConfig
from bqnn.config import SearchConfig
from bqnn.learners import State, make_learner
from bqnn.space import Int32, Space

AgentState = State


class AskInfo(NamedTuple):
    """What to report of an ask: the epsilon it used."""

    epsilon: float


class Agent(NamedTuple):
    """A learner bound to a seed, a schedule and the host.

    Attributes:
      init: () -> the first state.
      ask: (state, iteration) -> (actions, info). Draws the batch of that iteration.
        # [B, T] int32
      tell: (state, actions [B, T], rewards [B]) -> the next state. Takes over the
        buffers of the state given.
    """

    init: Callable[[], AgentState]
    ask: Callable[[AgentState, int], tuple[Int32, AskInfo]]
    tell: Callable[[AgentState, ArrayLike, ArrayLike], AgentState]


def make_agent(space: Space, config: AgentConfig, search: SearchConfig) -> Agent:
    """Build the agent that the configuration names.

    Args:
      space: what may be chosen at each step.
      config: which agent, and what it takes.
      search: batch size and seed.
    """
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
        epsilon = learner.epsilons[iteration]
        actions = sample(state, np.int32(iteration), np.float32(epsilon))
        return np.asarray(actions), AskInfo(epsilon)

    return Agent(init, ask, jax.jit(learner.tell, donate_argnums=0))


def digest(state: AgentState) -> str:
    """Hash every bit of `state` (sha256, hexadecimal)."""
    sha = hashlib.sha256()
    for leaf in jax.tree.leaves(state):
        sha.update(np.ascontiguousarray(leaf).data)
    return sha.hexdigest()

"""Random search: the baseline."""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from bqnn.agents import novelty, replay
from bqnn.agents.learner import Learner, key_of
from bqnn.agents.replay import ReplayMemory
from bqnn.agents.sampling import random_blocks
from bqnn.config import AgentConfig, schedule
from bqnn.numerics import seed_key
from bqnn.space.actions import Space


class RandomState(NamedTuple):
    """State of random search, which learns nothing.

    Attributes:
      key: the key of the search, uint32 `[2]`.
      iteration: batches told so far, int32 `[]`.
      memory: what was told, so that it is not asked again; None if it may be.
    """

    key: Array
    iteration: Array
    memory: ReplayMemory | None = None


def make_random(
    space: Space, config: AgentConfig, batch: int, learnt: int = 0
) -> Learner:
    """Build random search, which draws every block as `q` does at epsilon 1.

    Args:
      space: the decision process.
      config: `exploration`, `distinct`; `schedule`, for its length only.
      batch: B, blocks per iteration.
      learnt: blocks told before those of the first iteration.
    """
    iterations = schedule.parse(config.schedule).iterations
    capacity, steps = learnt + iterations * batch, len(space.num_actions)

    def init(seed: ArrayLike) -> RandomState:
        memory = None
        if config.distinct:
            memory = replay.init(capacity, steps, True, config.told)
        return RandomState(seed_key(seed), jnp.zeros((), jnp.int32), memory)

    return Learner(
        init=init,
        sample=functools.partial(_sample, space, config.exploration, batch),
        tell=functools.partial(_tell, space),
        epsilons=(1.0,) * iterations,
        heeds_pending=config.distinct,
    )


def _sample(
    space: Space,
    exploration: str,
    batch: int,
    state: RandomState,
    iteration: Array,
    epsilon: Array,
    pending: Array,
) -> Array:
    key = key_of(state.key, iteration, "ask")
    if state.memory is None:
        return random_blocks(space, exploration, jax.random.split(key, batch))

    def propose(keys: chex.PRNGKey, epsilons: Array) -> Array:
        del epsilons  # all is random
        return random_blocks(space, exploration, keys)

    asking, known = novelty.Asking(key, batch, epsilon), state.memory.keys
    assert known is not None
    return novelty.choose(propose, space.key, known, pending, asking)


def _tell(
    space: Space, state: RandomState, actions: Array, rewards: Array
) -> RandomState:
    memory = state.memory
    if memory is not None:
        memory = replay.add(space, memory, actions, rewards)
    return RandomState(state.key, state.iteration + 1, memory)

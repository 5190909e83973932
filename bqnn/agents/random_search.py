"""Random search: the control group."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from bqnn.agents.learner import Learner, key_of
from bqnn.agents.sampling import random_blocks
from bqnn.config import AgentConfig, schedule
from bqnn.numerics import seed_key
from bqnn.space.actions import Space


class RandomState(NamedTuple):
    """What random search keeps.

    Attributes:
      key: the key of the search.  # [2] uint32
      iteration: batches told so far.  # [] int32
    """

    key: Array
    iteration: Array


def make_random(space: Space, config: AgentConfig, batch: int) -> Learner:
    """Build random search: every block is drawn as the Q-agent explores.

    Args:
      space: what may be chosen at each step.
      config: exploration, and a schedule of which only the length counts.
      batch: blocks per iteration.
    """

    def init(seed: ArrayLike) -> RandomState:
        return RandomState(seed_key(seed), jnp.zeros((), jnp.int32))

    return Learner(
        init=init,
        sample=functools.partial(_sample, space, config.exploration, batch),
        tell=_tell,
        epsilons=(1.0,) * schedule.parse(config.schedule).iterations,
    )


def _sample(
    space: Space,
    exploration: str,
    batch: int,
    state: RandomState,
    iteration: Array,
    epsilon: Array,
) -> Array:
    del epsilon  # all is random
    keys = jax.random.split(key_of(state.key, iteration, "ask"), batch)
    return random_blocks(space, exploration, keys)


def _tell(state: RandomState, actions: ArrayLike, rewards: ArrayLike) -> RandomState:
    del actions, rewards  # nothing is learnt
    return RandomState(state.key, state.iteration + 1)

"""Random search: the baseline."""

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
    """State of random search, which learns nothing.

    Attributes:
      key: the key of the search, uint32 `[2]`.
      iteration: batches told so far, int32 `[]`.
    """

    key: Array
    iteration: Array


def make_random(space: Space, config: AgentConfig, batch: int) -> Learner:
    """Build random search, which draws every block as `q` does at epsilon 1.

    Args:
      space: the decision process.
      config: `exploration`; `schedule`, for its length only.
      batch: B, blocks per iteration.
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

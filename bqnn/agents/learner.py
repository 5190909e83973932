"""What a learner is: pure functions over its own immutable state.

Keys are folded from the seed and the number of the iteration, never carried, so that
a state depends on the rewards told and on nothing else.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
from jax import Array
from jax.typing import ArrayLike

State = Any
"""A pytree of arrays, of the learner's own kind."""


class Learner(NamedTuple):
    """A learner as pure functions of arrays, which `jax.vmap` takes over seeds.

    Attributes:
      init: (seed []) -> the first state.
      sample: (state, iteration [], epsilon []) -> actions. Writes the batch of that
        iteration; -1 after the end of a block.  # [B, T] int32
      tell: (state, actions [B, T], rewards [B]) -> the next state.
      epsilons: of every iteration, for learners that explore by epsilon-greedy; 1
        where all is random, 0 where there is no such thing.
    """

    init: Callable[[ArrayLike], State]
    sample: Callable[[State, ArrayLike, ArrayLike], Array]
    tell: Callable[[State, ArrayLike, ArrayLike], State]
    epsilons: tuple[float, ...]


_STREAMS = {"ask": 0, "tell": 1}


def key_of(bits: Array, iteration: ArrayLike, stream: str) -> chex.PRNGKey:
    """Fold the key of one iteration for `ask` or `tell` from that of the search."""
    key = jax.random.wrap_key_data(bits, impl="threefry2x32")
    return jax.random.fold_in(jax.random.fold_in(key, iteration), _STREAMS[stream])

"""Learner: the interface of all agents, as pure functions over an immutable state.

Random keys are folded from the seed and the number of the iteration. No state carries
one, so a state depends on the rewards told and on nothing else.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
from jax import Array
from jax.typing import ArrayLike

State = Any
"""The state of a learner: a pytree of arrays. Every learner has its own type."""


class Learner(NamedTuple):
    """A learner as pure functions of arrays; `jax.vmap` maps them over seeds.

    Attributes:
      init: (seed `[]`) -> the first state.
      sample: (state, iteration `[]`, epsilon `[]`, pending `[L, T]`) -> actions, int32
        `[B, T]`, -1 after the end of a block. Samples the batch of that iteration;
        pending are the blocks that were asked and not told yet, and rows of -1. Where
        a batch is drawn again, epsilon is above that of the iteration, for learners
        without one too.
      tell: (state, actions `[B, T]`, rewards `[B]`) -> the next state. With
        `agent.goal=front` rewards are `[B, V]`: the reward, and minus ln(cost), of one
        cost or two.
      changes: (state) -> arrays that hold all that the last `tell` of B blocks has
        written, read from the state after it. By default that is the whole state.
      epsilons: the epsilon of every iteration. It is 1 where all blocks are random, and
        0 for learners without epsilon-greedy.
      heeds_pending: whether `sample` depends on pending blocks; if not, L may be 0.
    """

    init: Callable[[ArrayLike], State]
    sample: Callable[[State, ArrayLike, ArrayLike, ArrayLike], Array]
    tell: Callable[[State, ArrayLike, ArrayLike], State]
    epsilons: tuple[float, ...]
    changes: Callable[[State], Any] = lambda state: state
    heeds_pending: bool = False


_FIRST_DRAW = 1 << 31
_STREAMS = {"ask": 0, "tell": 1, "ask_weights": 2, "tell_weight": 3}


def key_of(bits: Array, iteration: ArrayLike, stream: str) -> chex.PRNGKey:
    """Fold a key of one iteration from the key of the search.

    Args:
      bits: the key of the search, uint32 `[2]`; not consumed.
      iteration: its number, from 0.
      stream: `ask` or `tell`; `ask_weights` or `tell_weight`, for what is weighed
        besides, such as the directions of a front.
    """
    key = _wrapped(bits)
    return jax.random.fold_in(jax.random.fold_in(key, iteration), _STREAMS[stream])


def key_of_draw(bits: Array, draw: int) -> Array:
    """Fold a key of another draw of all batches, uint32 `[2]`, from that of a search.

    Args:
      bits: the key of the search, uint32 `[2]`; not consumed.
      draw: its number, from 1; draw 0 has the key of the search itself.
    """
    # Iterations fold the same key: a draw is counted from far beyond the last of them.
    folded = jax.random.fold_in(_wrapped(bits), _FIRST_DRAW + draw)
    return jax.random.key_data(folded)


def _wrapped(bits: Array) -> chex.PRNGKey:
    return jax.random.wrap_key_data(bits, impl="threefry2x32")

"""Every block of a small space, with what an evaluation of it gives: a benchmark."""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jax import Array
from jax import numpy as jnp
from numpy.typing import NDArray

from bqnn.errors import ConfigError
from bqnn.space.actions import Int32, Space

# Blocks of five layers, of which there are 14 million, can be listed.
_MOST = 2 * 10**7

Float32 = NDArray[np.float32]


class Landscape(NamedTuple):
    """A space of which all is known.

    A block's place is the number that its actions write, one digit per step.

    Attributes:
      space: the decision process.
      rewards: what the agent is told, by place; -inf where no block is.  # [P]
      reported: what the block is worth in truth, by place.  # [P]
    """

    space: Space
    rewards: Float32
    reported: Float32

    def place(self, actions: Array) -> Array:
        """Return the place of every block.

        Args:
          actions: blocks, -1 after their end.  # [B, T]

        Returns:
          Places.  # [B] int32
        """
        return jnp.maximum(actions, 0) @ jnp.asarray(_digits(self.space))


def check_size(space: Space) -> None:
    """Want a space whose blocks can be listed.

    Raises:
      ConfigError: if it has too many.
    """
    size = math.prod(space.num_actions.tolist())
    if size > _MOST:
        raise ConfigError(
            f"the space has up to {size:.0e} blocks, a table has {_MOST:.0e} at most: "
            "want a smaller --config.space.max_layers"
        )


def make_landscape(space: Space, worth: Iterator[tuple[float, float]]) -> Landscape:
    """Tabulate a space.

    Args:
      space: the decision process.
      worth: reward and what is reported of every block, in the order of `all_actions`.
    """
    size = int(np.prod(space.num_actions, dtype=np.int64))
    rewards = np.full(size, -np.inf, np.float32)
    reported = np.full(size, np.nan, np.float32)
    digits = _digits(space)
    for actions, pair in zip(all_actions(space), worth, strict=True):
        place = int(np.maximum(actions, 0) @ digits)
        rewards[place], reported[place] = pair
    return Landscape(space, rewards, reported)


def all_actions(space: Space) -> Iterator[Int32]:
    """Write every block of a space, -1 after its end.  # [T] each."""
    for choice in itertools.product(*map(range, space.num_actions)):
        actions = np.array(choice, np.int32)
        after = np.cumsum(actions == space.stop)
        after[1:], after[0] = after[:-1], 0
        # Of the choices that differ only after the end, the first stands for all.
        if not actions[after > 0].any():
            yield np.where(after > 0, -1, actions).astype(np.int32)


def _digits(space: Space) -> Int32:
    """Return what an action counts at each step.  # [T]."""
    counts = space.num_actions.astype(np.int32)
    return np.array([np.prod(counts[t + 1 :]) for t in range(len(counts))], np.int32)

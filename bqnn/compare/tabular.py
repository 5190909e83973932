"""Tabular benchmark: every block of a small space, with the result of evaluating it."""

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn.errors import ConfigError
from bqnn.space.actions import Int32, Space

if TYPE_CHECKING:  # slow to import
    from jax import Array

# There are 14 million blocks of five layers: they can be listed.
_MOST = 2 * 10**7

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


class Result(NamedTuple):
    """The result of a block.

    Attributes:
      reward: what the agent is told.
      true_value: the accuracy to report.
      seconds: how long the training took; NaN if it is not known.
    """

    reward: float
    true_value: float
    seconds: float = math.nan


class FullTrainings(NamedTuple):
    """What training blocks in full would give, in E table entries of D terms.

    Attributes:
      terms: what a fit may know of a block, in the order of
        `bqnn.search.calibration.FITTED`, float64 `[E, D]`.
      final: accuracy after a full training, float64 `[E]`.
      cost: of a full training, in evaluations.
    """

    terms: Float64
    final: Float64
    cost: float


class TabularBenchmark(NamedTuple):
    """A space with the results of all its blocks, in E table entries.

    The index of a block is the number that its actions write, one digit per step.

    Attributes:
      space: the decision process.
      rewards: what the agent is told, float32 `[E]`; -inf at indices without a block.
      true_values: the accuracy to report, float32 `[E]`; NaN at indices without one.
      seconds: how long the training took, float32 `[E]`; NaN where it is not known.
      full: full trainings, from which a reward can be learnt; None if the table has
        none.
      log_costs: ln of the cost of the network, float32 `[E]`; None if it is not known.
    """

    space: Space
    rewards: Float32
    true_values: Float32
    seconds: Float32
    full: FullTrainings | None = None
    log_costs: Float32 | None = None

    def told(self, goal: str) -> Float32:
        """Return what agents are told of every entry, by `AgentConfig.goal`.

        Returns:
          The rewards, float32 `[E]`, or for a front rewards and costs, `[E, 2]`.

        Raises:
          ConfigError: if a front is wanted, and the table knows no costs.
        """
        if goal == "reward":
            return self.rewards
        if self.log_costs is None:
            raise ConfigError(
                "a front: this table does not know costs: want --space=nasbench201 "
                "--evaluator=table:FILE"
            )
        return np.stack([self.rewards, -self.log_costs], axis=1)

    def index_of(self, actions: "Array") -> "Array":
        """Return the index of every block.

        Args:
          actions: blocks, int32 `[B, T]`, -1 after their end.

        Returns:
          Indices, int32 `[B]`.
        """
        from jax import numpy as jnp

        return jnp.maximum(actions, 0) @ jnp.asarray(_digits(self.space))

    def actions_of(self, indices: Int32) -> Int32:
        """Return the actions of blocks, int32 `[B, T]`, -1 after their end.

        Args:
          indices: as `index_of` returns them, int32 `[B]`.
        """
        choices = np.stack(np.unravel_index(indices, self.space.num_actions), axis=1)
        stops = choices == self.space.stop
        after = np.cumsum(stops, axis=1) - stops > 0
        return np.where(after, -1, choices).astype(np.int32)


def check_size(space: Space) -> None:
    """Check that the blocks of a space can be listed.

    Raises:
      ConfigError: if it has too many.
    """
    size = math.prod(space.num_actions.tolist())
    if size > _MOST:
        raise ConfigError(
            f"the space has up to {size:.0e} blocks, a table has {_MOST:.0e} at most: "
            "want a smaller --config.space.max_layers"
        )


def make_benchmark(space: Space, results: Iterator[Result]) -> TabularBenchmark:
    """Tabulate a space.

    Args:
      space: the decision process.
      results: the result of every block, in the order of `all_actions`.
    """
    size = int(np.prod(space.num_actions, dtype=np.int64))
    table = np.full((size, 3), np.nan, np.float32)
    digits = _digits(space)
    for actions, result in zip(all_actions(space), results, strict=True):
        table[int(np.maximum(actions, 0) @ digits)] = result
    rewards, true_values, seconds = np.ascontiguousarray(table.T)
    rewards = np.where(np.isnan(rewards), np.float32(-np.inf), rewards)
    return TabularBenchmark(space, rewards, true_values, seconds)


def all_actions(space: Space) -> Iterator[Int32]:
    """Yield the actions of every block, int32 `[T]` each, -1 after their end."""
    for choice in itertools.product(*map(range, space.num_actions)):
        actions = np.array(choice, np.int32)
        after = np.cumsum(actions == space.stop)
        after[1:], after[0] = after[:-1], 0
        # Choices that differ only after the end are one block: the first is taken.
        if not actions[after > 0].any():
            yield np.where(after > 0, -1, actions).astype(np.int32)


def _digits(space: Space) -> Int32:
    """Return the value of a digit at each step, int32 `[T]`."""
    counts = space.num_actions.astype(np.int32)
    return np.array([np.prod(counts[t + 1 :]) for t in range(len(counts))], np.int32)

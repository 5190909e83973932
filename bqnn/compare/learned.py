"""Learned reward on a table: the rounds of `bqnn.search.rounds`, looked up."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn.compare.tabular import Float32, FullTrainings
from bqnn.search import calibration, rounds
from bqnn.space.actions import Int32

Functions = Callable[[Int32], NDArray[np.uint32]]
"""Numbers entries `[N]`: the same for those that compute the same function."""


class Known(NamedTuple):
    """What a search knows after a round.

    Attributes:
      rewards: what it is told of every block from then on, float32 `[E]`.
      in_full: entries that were trained in full, in that order.
    """

    rewards: Float32
    in_full: tuple[int, ...] = ()


class Round(NamedTuple):
    """A round of full trainings.

    Attributes:
      after: how many batches are told before it.
      blocks: how many to train in full.
      full: what their full trainings would give.
      functions: tells which entries are one function.
    """

    after: int
    blocks: int
    full: FullTrainings
    functions: Functions

    def hold(self, asked: Int32, before: Known) -> Known:
        """Train some blocks in full, and learn from all that were.

        Args:
          asked: entries so far, in the order asked, int32 `[N]`.
          before: what was known before.
        """
        free = [entry for entry in self._first(asked) if entry not in before.in_full]
        accuracy, size = self.full.terms[free].T
        chosen = calibration.to_train(accuracy, size, min(self.blocks, len(free)))
        in_full = (*before.in_full, *(free[index] for index in chosen))
        trained = list(in_full)
        fit = calibration.learn(self.full.terms[trained], self.full.final[trained])
        if fit is None:
            return before._replace(in_full=in_full)
        foretold = calibration.foretell(fit, self.full.terms)
        return Known(foretold.astype(np.float32), in_full)

    def _first(self, asked: Int32) -> Sequence[int]:
        """List the first entry of each function, in the order asked."""
        _, where = np.unique(self.functions(asked), return_index=True)
        entries: list[int] = asked[np.sort(where)].tolist()
        return entries


def make_rounds(
    full: FullTrainings, functions: Functions, blocks: int, iterations: int
) -> list[Round]:
    """Plan the rounds of a search.

    Args:
      full: what full trainings would give.
      functions: tells which entries are one function.
      blocks: to train in full, in all rounds together.
      iterations: of the search.
    """
    after = rounds.after(iterations)
    shares = [rounds.share(blocks, number, len(after)) for number in range(len(after))]
    planned = zip(after, shares, strict=True)
    return [Round(told, share, full, functions) for told, share in planned]

"""Course: how long workers take for the candidates of a search, in order."""

import heapq

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]


def stretched(played: int, iterations: int, first: int) -> Int64:
    """Spread the batches of a short search over a longer one.

    The first batches are asked before anything is told: there are as many of them in
    any search.

    Args:
      played: S, batches of the short search.
      iterations: of the longer search, at least S.
      first: batches asked before the first is told.

    Returns:
      For every iteration the batch that stands for it, int64 `[iterations]`.
    """
    first = min(first, played - 1)
    rest = np.arange(iterations - first) * (played - first) // (iterations - first)
    return np.concatenate([np.arange(first), first + rest])


def makespan(seconds: Floats, workers: int, lag: int) -> float:
    """Compute when the last batch of a search is told.

    A batch is asked when all but `lag` of those before it are told, as in slot order;
    workers take the longest candidate of the earliest batch first.

    Args:
      seconds: of every candidate by iteration and slot, `[N, B]`; 0 for one that no
        worker takes.
      workers: of one speed.
      lag: batches in flight beyond the one being told.
    """
    free, told = [0.0] * workers, [0.0]
    for iteration, batch in enumerate(seconds):
        asked, last = told[max(0, iteration - lag)], told[-1]
        for spent in np.sort(batch[batch > 0])[::-1]:
            end = max(asked, heapq.heappop(free)) + float(spent)
            heapq.heappush(free, end)
            last = max(last, end)
        told.append(last)
    return told[-1]

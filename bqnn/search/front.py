"""Front: which blocks no other beats in accuracy and costs, and its hypervolume.

For two or three goals both are sorting and sums; a library would bring more than it
saves.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def front_of(accuracy: ArrayLike, costs: ArrayLike) -> NDArray[np.intp]:
    """Find the blocks of the front.

    Args:
      accuracy: of every block, to be large, `[N]`; NaN where there is none.
      costs: of every block, to be small, `[N]`, or of several kinds, `[V - 1, N]`.

    Returns:
      Their indices, the cheapest first, by the first cost: each is more accurate than
      all that cost as little. Of equals, the first.
    """
    value, rows = np.asarray(accuracy, np.float64), np.atleast_2d(costs)
    known = np.flatnonzero(~np.isnan(value))
    order = known[np.lexsort((-value[known], *rows[::-1, known]))]
    if len(rows) == 1:  # much quicker than what follows
        before = np.maximum.accumulate(np.append(-np.inf, value[order]))[:-1]
        return order[value[order] > before]
    found = []
    while len(order):
        # Nothing after the first one beats it; what it beats comes after it.
        first = order[0]
        found.append(first)
        cheaper = (rows[:, order] < rows[:, [first]]).any(axis=0)
        order = order[cheaper | (value[order] > value[first])]
    return np.array(found, np.intp)


def hypervolume(
    accuracy: ArrayLike,
    costs: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    reported: ArrayLike | None = None,
) -> float:
    """Average the best accuracy within a limit on each cost, over limits.

    The limits go from `low` to `high`; where no block is within them, its accuracy
    counts as 0. So this is the area, or with two costs the volume, that the front
    dominates down to accuracy 0 and up to costs of `high`, relative to that of all
    limits.

    Args:
      accuracy: of every block, float64 `[N]`; NaN where there is none.
      costs: of every block, `[N]`, or of several kinds, `[V - 1, N]`: logarithms, if
        limits are to be spaced by those.
      low: the least limit, or those of all costs, `[V - 1]`.
      high: the largest limit, above `low`, or those of all costs.
      reported: what to average of the most accurate blocks instead, `[N]`.
    """
    rows = np.atleast_2d(np.asarray(costs, np.float64))
    lows, highs = np.atleast_1d(low), np.atleast_1d(high)
    best = front_of(accuracy, rows)
    told = np.asarray(accuracy, np.float64)[best]
    values = told if reported is None else np.asarray(reported, np.float64)[best]
    first, others = rows[0, best], rows[1:, best]
    ends = np.clip(np.append(first, highs[0]), lows[0], highs[0])
    if len(others):  # of all that the limit on the first cost allows
        upto = range(1, len(best) + 1)
        rest = lows[1:], highs[1:]
        values = np.array(
            [hypervolume(told[:n], others[:, :n], *rest, values[:n]) for n in upto]
        )
    return float(np.diff(ends) @ values / (highs[0] - lows[0]))

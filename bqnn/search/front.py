"""Front: which blocks no other beats in accuracy and cost, and its hypervolume.

For two goals both are sorting and a sum; a library would bring more than it saves.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def front_of(accuracy: ArrayLike, cost: ArrayLike) -> NDArray[np.intp]:
    """Find the blocks of the front.

    Args:
      accuracy: of every block, to be large, `[N]`; NaN where there is none.
      cost: of every block, to be small, `[N]`.

    Returns:
      Their indices, the cheapest first: each is more accurate than all that cost as
      little. Of equals, the first.
    """
    value = np.asarray(accuracy, np.float64)
    known = np.flatnonzero(~np.isnan(value))
    order = known[np.lexsort((-value[known], np.asarray(cost)[known]))]
    before = np.maximum.accumulate(np.append(-np.inf, value[order]))[:-1]
    return order[value[order] > before]


def hypervolume(
    accuracy: ArrayLike,
    cost: ArrayLike,
    low: float,
    high: float,
    reported: ArrayLike | None = None,
) -> float:
    """Average the best accuracy within a limit on the cost, over limits.

    The limits go from `low` to `high`; where no block is within a limit, its accuracy
    counts as 0. So this is the area that the front dominates down to accuracy 0 and up
    to cost `high`, divided by `high - low`.

    Args:
      accuracy: of every block, float64 `[N]`; NaN where there is none.
      cost: of every block, `[N]`: its logarithm, if limits are to be spaced by that.
      low: the least limit.
      high: the largest limit, above `low`.
      reported: what to average of the most accurate blocks instead, `[N]`.
    """
    best = front_of(accuracy, cost)
    values = np.asarray(accuracy if reported is None else reported, np.float64)[best]
    ends = np.clip(np.append(np.asarray(cost, np.float64)[best], high), low, high)
    return float(np.diff(ends) @ values / (high - low))

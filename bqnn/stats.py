"""How well an early measure ranks what is measured late."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

_RESAMPLES = 2000


class Interval(NamedTuple):
    """Ends of a 95 % percentile bootstrap interval (Efron, 1979)."""

    low: float
    high: float


class Correlation(NamedTuple):
    """How an early measure ranks blocks, against their final accuracy.

    Attributes:
      spearman: correlation of the ranks (Spearman, 1904).
      kendall: tau-b, of the order of pairs (Kendall, 1945).
      interval: of Spearman's, over resampled blocks.
    """

    spearman: float
    kendall: float
    interval: Interval


def correlation(early: Sequence[float], final: Sequence[float]) -> Correlation:
    """Correlate two measures of the same blocks."""
    return Correlation(
        float(stats.spearmanr(early, final).statistic),
        float(stats.kendalltau(early, final).statistic),
        _interval(_resampled(early, final)),
    )


def difference(
    one: Sequence[float], other: Sequence[float], final: Sequence[float]
) -> Interval:
    """Return the interval of how much better `one` ranks than `other` (Spearman)."""
    return _interval(_resampled(one, final) - _resampled(other, final))


def _resampled(early: Sequence[float], final: Sequence[float]) -> np.ndarray:
    """Return Spearman's correlation of resampled blocks, always the same ones.

    Resamples of one block alone have none.
    """
    count = len(final)
    drawn = np.random.default_rng(0).integers(0, count, (_RESAMPLES, count))
    ranks = [
        stats.rankdata(np.asarray(values)[drawn], axis=1) for values in (early, final)
    ]
    x, y = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    with np.errstate(invalid="ignore"):
        return (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))


def _interval(values: np.ndarray) -> Interval:
    return Interval(*(float(end) for end in np.nanpercentile(values, [2.5, 97.5])))

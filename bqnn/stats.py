"""Statistics: means and rank correlations with intervals.

Intervals of many values are percentile bootstraps (Efron, 1979) of 2,000 resamples,
drawn from one seed: the same values always have the same interval.
`scipy.stats.bootstrap` draws otherwise, which would change published intervals.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

_RESAMPLES = 2000
_ENDS = (2.5, 97.5)  # percentiles


class Interval(NamedTuple):
    """Ends of 95 % percentile bootstrap intervals: numbers, or arrays of one shape."""

    low: Floats
    high: Floats


class Mean(NamedTuple):
    """A mean and its interval: numbers, or arrays of one shape."""

    value: Floats
    interval: Interval


class Correlation(NamedTuple):
    """How an early measure ranks blocks, against their final accuracy.

    Attributes:
      spearman: correlation of the ranks (Spearman, 1904).
      kendall: tau-b, of the order of pairs (Kendall, 1945).
      interval: of Spearman's correlation, over resampled blocks.
    """

    spearman: float
    kendall: float
    interval: Interval


def mean(values: Floats) -> Mean:
    """Average over the first axis, and resample along it.

    Args:
      values: `[R, ...]`, a number or an array for each of R samples.

    Returns:
      Mean and interval, float64 `[...]`.
    """
    count = len(values)
    draws = np.random.default_rng(0).multinomial(
        count, np.full(count, 1 / count), _RESAMPLES
    )
    means = np.tensordot(draws / count, np.asarray(values, np.float64), axes=1)
    return Mean(np.mean(values, axis=0, dtype=np.float64), _interval(means))


def few_mean(values: Sequence[float]) -> Mean:
    """Average a few values; the interval is that of Student's t (1908).

    The bootstrap of three values ends at the smallest and the largest: that holds the
    true mean in three of four cases, not in 95 of 100.

    Args:
      values: at least one.

    Returns:
      Mean and interval; of a single value, the interval is NaN.
    """
    from scipy import special  # slow

    count, average = len(values), np.mean(values, axis=0)
    if count == 1:
        return Mean(average, Interval(*np.full(2, np.nan)))
    half = special.stdtrit(count - 1, 0.975) * np.std(values, ddof=1) / np.sqrt(count)
    return Mean(average, Interval(average - half, average + half))


def correlation(early: Sequence[float], final: Sequence[float]) -> Correlation:
    """Correlate two measures of the same blocks."""
    from scipy import stats  # slow

    return Correlation(
        float(stats.spearmanr(early, final).statistic),
        float(stats.kendalltau(early, final).statistic),
        _interval(_resampled_spearman(early, final)),
    )


def difference(
    one: Sequence[float], other: Sequence[float], final: Sequence[float]
) -> Interval:
    """Return the interval of how much better `one` ranks than `other` (Spearman)."""
    return _interval(
        _resampled_spearman(one, final) - _resampled_spearman(other, final)
    )


def _resampled_spearman(early: Sequence[float], final: Sequence[float]) -> Floats:
    """Return Spearman's correlation in every resample of the blocks, float64 `[2000]`.

    It is NaN where a resample holds a single block. `difference` subtracts two calls:
    both draw the same resamples, since the seed is the same.
    """
    from scipy import stats

    count = len(final)
    indices = np.random.default_rng(0).integers(0, count, (_RESAMPLES, count))
    ranks = [
        stats.rankdata(np.asarray(values)[indices], axis=1) for values in (early, final)
    ]
    x, y = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    with np.errstate(invalid="ignore"):
        return (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))


def _interval(resampled: Floats) -> Interval:
    """Take the percentiles along the first axis, without NaN."""
    return Interval(*np.nanpercentile(resampled, _ENDS, axis=0))

"""Model: seconds of all candidates, from those of the few that were timed.

Axes: N candidates timed, F features of a candidate, Q quantities of seconds, which are
those of a preparation and of an epoch.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_RESAMPLES = 500
_ENDS = (2.5, 97.5)  # percentiles


def fit(features: Floats, seconds: Floats) -> Floats:
    """Fit seconds as a sum of features, each times a coefficient that is not negative.

    Least squares of relative errors. Then all coefficients are scaled so that what is
    foretold of the candidates adds up to what they took.

    Args:
      features: float64 `[N, F]`, above 0.
      seconds: float64 `[N, Q]`, above 0.

    Returns:
      The coefficients, float64 `[F, Q]`.
    """
    return np.stack([_fit_one(features, column) for column in seconds.T], axis=1)


def relative_interval(
    features: Floats, seconds: Floats, wanted: Floats
) -> tuple[float, float]:
    """Bootstrap a sum of seconds, relative to its value.

    Args:
      features: float64 `[N, F]`.
      seconds: float64 `[N, Q]`.
      wanted: how often every coefficient counts in the sum, float64 `[F, Q]`.

    Returns:
      Ends of the 95 % percentile interval over resampled candidates.
    """
    if not wanted.any():
        return 1.0, 1.0
    count, rng = len(seconds), np.random.default_rng(0)
    draws = rng.integers(0, count, (_RESAMPLES, count))
    sums = [(wanted * fit(features[draw], seconds[draw])).sum() for draw in draws]
    low, high = np.percentile(sums, _ENDS) / (wanted * fit(features, seconds)).sum()
    return float(low), float(high)


def _fit_one(features: Floats, seconds: Floats) -> Floats:
    """Fit one quantity, float64 `[N]`; returns float64 `[F]`."""
    relative, kept = features / seconds[:, None], np.arange(features.shape[1])
    coefficients = np.zeros(features.shape[1])
    while kept.size and not coefficients.any():
        found = np.linalg.lstsq(relative[:, kept], np.ones(len(seconds)), None)[0]
        if found.min() >= 0:
            coefficients[kept] = found
        kept = np.delete(kept, found.argmin())
    return coefficients * (seconds.sum() / (features @ coefficients).sum())

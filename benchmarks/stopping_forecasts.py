"""Forecasts: the ends of trainings, foretold from their first epochs."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.search.calibration import Floats, values_of
from bqnn.search.history import Batch

Curve = tuple[float, ...]
"""Accuracies after the epochs trained."""

SIZE = ("log_params", "log_flops")
"""Terms of a block's size that a regression knows (`bqnn.search.calibration`)."""

EXPONENTS = (1.0, 0.5, 2.0)
"""Of power laws; of those that fit a curve equally well, the first is taken."""

_STRENGTH = 1.0  # of a regression's prior: it counts as much as one curve


class Forecast(NamedTuple):
    """What is foretold of candidates after some epoch.

    Attributes:
      end: foretells the accuracy after the last epoch.
      error: root mean square of how far it was from the ends of whole curves.
    """

    end: Callable[[Candidate, Curve], float]
    error: float


Fitter = Callable[[Batch, int], Forecast]
"""Takes candidates with whole curves, and the epoch to forecast from."""


def mean_gain(full: Batch, epoch: int) -> Forecast:
    """Foretell that a candidate gains what others did on average."""
    curves = _curves(full)
    gains = curves[:, -1] - curves[:, epoch - 1]
    gain = float(gains.mean())
    return Forecast(lambda _, curve: curve[-1] + gain, float(gains.std()))


def no_gain(full: Batch, epoch: int) -> Forecast:
    """Foretell that a candidate stays as it is."""
    curves = _curves(full)
    errors = curves[:, epoch - 1] - curves[:, -1]
    return Forecast(lambda _, curve: curve[-1], _root_mean_square(errors))


def power_law(full: Batch, epoch: int) -> Forecast:
    """Extrapolate the candidate's own curve (after Domhan et al., IJCAI 2015).

    Of their eleven families of curves, one, by least squares: a search has a handful
    of epochs. It wants two of them.
    """
    curves = _curves(full)
    last = curves.shape[1]
    errors = extrapolate(curves[:, :epoch], last) - curves[:, -1]

    def end(_: Candidate, curve: Curve) -> float:
        return float(extrapolate(np.array([curve]), last)[0])

    return Forecast(end, _root_mean_square(errors))


def extrapolate(curves: Floats, last: int) -> Floats:
    """Fit `a - b t^-c` to curves by least squares, with b >= 0 and c of `EXPONENTS`.

    Args:
      curves: accuracies after epochs 1 to S, float64 `[N, S]`.
      last: the epoch to foretell.

    Returns:
      Accuracies after it, at most 1, float64 `[N]`.
    """
    epochs = np.arange(1, curves.shape[1] + 1, dtype=np.float64)
    means = curves.mean(axis=1, keepdims=True)
    ends, errors = [], []
    for exponent in EXPONENTS:
        powers = epochs**-exponent
        x = powers - powers.mean()
        slopes = np.minimum((curves - means) @ x / max(float(x @ x), 1e-12), 0.0)
        misses = curves - means - np.outer(slopes, x)
        # Rounded, so that exact fits are equally good.
        errors.append(np.round(np.sum(misses**2, axis=1), 12))
        ends.append(means[:, 0] + slopes * (last**-exponent - powers.mean()))
    best = np.argmin(errors, axis=0)
    return np.minimum(np.array(ends)[best, np.arange(len(curves))], 1.0)


def ridge(full: Batch, epoch: int) -> Forecast:
    """Regress ends on the curve up to here and on `SIZE`; the error leaves one out.

    Whole curves are those of survivors: of poor candidates, it knows the first batches.
    """
    values = np.array([_terms(c, e.accuracy[:epoch]) for c, e in full])
    ends = _curves(full)[:, -1]
    middle, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-9)
    x, mean = (values - middle) / scale, float(ends.mean())
    inverse = np.linalg.inv(x.T @ x + _STRENGTH * np.eye(x.shape[1]))
    weights = inverse @ x.T @ (ends - mean)
    leverages = 1 / len(ends) + np.sum(x @ inverse * x, axis=1)
    errors = (ends - mean - x @ weights) / np.maximum(1 - leverages, 1e-3)

    def end(candidate: Candidate, curve: Curve) -> float:
        here = (np.array(_terms(candidate, curve)) - middle) / scale
        return mean + float(here @ weights)

    return Forecast(end, _root_mean_square(errors))


def _terms(candidate: Candidate, curve: Curve) -> list[float]:
    size = values_of(SIZE, candidate, Evaluation(Status.OK, curve))
    return [*curve, *size]


def _curves(full: Batch) -> Floats:
    return np.array([evaluation.accuracy for _, evaluation in full])


def _root_mean_square(errors: Floats) -> float:
    return math.sqrt(np.mean(errors**2))

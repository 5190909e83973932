"""Calibration: final accuracy foretold from early accuracy and size.

A linear fit to a few blocks that were trained in full. The paper corrects early
accuracy by weights that it gives; these are learnt (ours), from some 8 to 16 blocks.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn import files
from bqnn.errors import DataError, SearchError
from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.networks.cost import Density
from bqnn.schema import FactError, fields, integer, mapped, number, text

Floats = NDArray[np.float64]

TERMS: Mapping[str, Callable[[Candidate, Evaluation], float]] = {
    "accuracy": lambda _, evaluation: evaluation.final,
    "log_params": lambda candidate, _: math.log(max(1, candidate.network_params)),
    "log_flops": lambda candidate, _: math.log(candidate.block_flops),
    "log_density": lambda candidate, _: math.log(
        Density(candidate.edges, candidate.nodes).value
    ),
    "slope": lambda _, evaluation: (
        evaluation.accuracy[-1] - evaluation.accuracy[-2:][0]
    ),
}
"""What a fit may know of a block: early accuracy, and logarithms of what it costs.

`slope` is what the last early epoch added to the accuracy, 0 if it was the only one.
"""

FITTED = ("accuracy", "log_params")
"""The terms of a fit. The others do not pay at 8 to 16 blocks, see docs/evidence.md:
ln(FLOPs) says what ln(parameters) says, and ln(density) is noise."""

LEAST = 3
"""Blocks that a fit needs."""

# What is believed before any block is trained in full, and how many blocks that counts
# as much as: a standard deviation of early accuracy is worth half of one of final
# accuracy, and another term nothing. Chosen on CIFAR-10 of NAS-Bench-201 alone. There
# a strength that each fit chose for itself, by evidence or leave-one-out, was worse,
# and final accuracy as a logit or a rank was no better.
_ACCURACY_IS_WORTH, _ACCURACY_BLOCKS, _OTHER_BLOCKS = 0.5, 4.0, 1.0

# Relative: a column that varies less is constant but for rounding.
_CONSTANT = 1e-9


class Fit(NamedTuple):
    """A linear fit of final accuracy, D terms.

    Attributes:
      terms: their names.
      intercept: the final accuracy foretold where all terms are 0.
      weights: final accuracy by unit of each term; of `accuracy`, 0 or more.
      low, high: ends of the 95 % credible intervals of the weights; of `accuracy`, as
        if a negative one were allowed.
      blocks: number of blocks that it was fitted to.
    """

    terms: tuple[str, ...]
    intercept: float
    weights: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    blocks: int


def values_of(
    terms: Sequence[str], candidate: Candidate, evaluation: Evaluation
) -> list[float]:
    """Compute terms of a block that has an early accuracy, `[D]`."""
    return [TERMS[name](candidate, evaluation) for name in terms]


def fit(terms: Sequence[str], values: Floats, final: Floats) -> Fit:
    """Fit final accuracy by Bayesian linear regression on standardised terms.

    The prior of the weights is normal, around what is believed of `accuracy`; its
    scale is that of the residuals, which is integrated out, so that the weights follow
    Student's t. A constant term keeps the weight that it was believed to have, and
    early accuracy has no negative one.

    Args:
      terms: names of the terms.
      values: of every block, float64 `[N, D]`.
      final: accuracies after full training, float64 `[N]`.

    Raises:
      SearchError: if there are fewer than `LEAST` blocks.
    """
    from scipy.special import stdtrit  # slow

    count = len(final)
    if count < LEAST:
        raise SearchError(f"{count} blocks are trained in full: a fit wants {LEAST}")
    is_accuracy = np.array([name == "accuracy" for name in terms])
    belief = np.where(is_accuracy, _ACCURACY_IS_WORTH, 0.0)
    strength = np.where(is_accuracy, _ACCURACY_BLOCKS, _OTHER_BLOCKS)
    (x, middle, scale), (y, mean, spread) = _standard(values), _standard(final)
    covariance = np.linalg.inv(x.T @ x + np.diag(strength))
    weights = belief + covariance @ (x.T @ (y - x @ belief))
    surprise = np.sum(strength * (weights - belief) ** 2)
    variance = (np.sum((y - x @ weights) ** 2) + surprise) / (count - 1)
    half = stdtrit(count - 1, 0.975) * np.sqrt(variance * np.diag(covariance))
    low, high = weights - half, weights + half
    for index in np.flatnonzero(is_accuracy & (weights < 0)):
        # No block is rewarded for a worse start: the mode of the others without it.
        weights -= weights[index] * (covariance[:, index] / covariance[index, index])
    weights, low, high = (spread / scale * part for part in (weights, low, high))
    return Fit(
        terms=tuple(terms),
        intercept=float(mean - middle @ weights),
        weights=tuple(weights.tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        blocks=count,
    )


def learn(values: Floats, final: Floats) -> Fit | None:
    """Fit `FITTED` for a reward.

    Args:
      values: these terms of blocks that were trained in full, float64 `[N, D]`.
      final: their accuracies, float64 `[N]`.

    Returns:
      None if the blocks are too few, or if early accuracy tells nothing of the final
      one: size alone is no reward.
    """
    if len(final) < LEAST:
        return None
    found = fit(FITTED, values, final)
    return found if found.weights[FITTED.index("accuracy")] > 0 else None


def foretell(fitted: Fit, values: Floats) -> Floats:
    """Foretell the final accuracy of blocks.

    Args:
      fitted: the fit.
      values: its terms, float64 `[..., D]`.

    Returns:
      Accuracies, float64 `[...]`, which may lie outside of 0 to 1.
    """
    return fitted.intercept + (values * np.array(fitted.weights)).sum(axis=-1)


def same(one: Fit | None, other: Fit | None) -> bool:
    """Tell whether two fits are equal but for the rounding of a machine."""
    if one is None or other is None:
        return one is other
    if (one.terms, one.blocks) != (other.terms, other.blocks):
        return False
    first, second = ((f.intercept, *f.weights, *f.low, *f.high) for f in (one, other))
    return np.allclose(first, second, rtol=1e-6, atol=1e-9)


def leave_one_out(terms: Sequence[str], values: Floats, final: Floats) -> Floats:
    """Foretell every block by a fit to the others, float64 `[N]`."""
    others = ~np.eye(len(final), dtype=bool)
    fits = [fit(terms, values[rows], final[rows]) for rows in others]
    return np.array([foretell(*pair) for pair in zip(fits, values, strict=True)])


def to_train(accuracy: Floats, params: Floats, count: int) -> list[int]:
    """Choose blocks to be trained in full: spread over size, among the better half.

    A search asks for the order of good blocks. Of bad ones, some hardly train at all,
    and a linear fit would go through them instead.

    Args:
      accuracy: early, of every block, float64 `[N]`.
      params: parameters, or anything in their order, float64 `[N]`.
      count: how many to choose, at most N.

    Returns:
      Indices of the blocks, in the order of their size.
    """
    most = max(count, -(-len(accuracy) // 2))
    better = np.sort(np.argsort(-accuracy, kind="stable")[:most])
    by_size = better[np.argsort(params[better], kind="stable")].tolist()
    last = max(1, count - 1)
    return [by_size[step * (len(by_size) - 1) // last] for step in range(count)]


def to_json(fitted: Fit) -> dict[str, Any]:
    """Convert to values that JSON can hold."""
    ends = zip(fitted.weights, fitted.low, fitted.high, strict=True)
    named = zip(fitted.terms, ends, strict=True)
    terms = {name: dict(zip(_ENDS, row, strict=True)) for name, row in named}
    return {
        "format": 1,
        "blocks": fitted.blocks,
        "intercept": fitted.intercept,
        "terms": terms,
    }


_ENDS = ("weight", "low", "high")
_WEIGHT = number(-1e12, 1e12)
_FIT = fields(
    {
        "format": integer(1, 1),
        "blocks": integer(LEAST, 10**6),
        "intercept": _WEIGHT,
        "terms": mapped(
            text("|".join(TERMS), f"one of {', '.join(TERMS)}"),
            fields(dict.fromkeys(_ENDS, _WEIGHT)),
            "a weight by term",
        ),
    }
)


def from_json(value: Any) -> Fit:
    """Want what `to_json` made; other fields are left out.

    Raises:
      FactError: if it is no fit.
    """
    found = _FIT(value)
    weights, low, high = (
        tuple(row[end] for row in found["terms"].values()) for end in _ENDS
    )
    names = tuple(found["terms"])
    return Fit(names, found["intercept"], weights, low, high, found["blocks"])


def read_fit(path: Path) -> Fit:
    """Read a fit that `launch.calibrate` wrote.

    Raises:
      DataError: if the file cannot be read, or is no fit.
    """
    try:
        return from_json(files.read_json(path))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except (ValueError, FactError) as error:
        raise DataError(f"{path} is no calibration: {error}") from error


def _standard(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Standardise along the first axis; what is constant becomes 0, of scale 1."""
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    varies = deviation > _CONSTANT * np.maximum(1.0, abs(mean))
    scale = np.where(varies, deviation, 1.0)
    return np.where(varies, (values - mean) / scale, 0.0), mean, scale

"""Series of a search by iteration: rewards, accuracies, lengths, reused results."""

from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np

from bqnn.report.rows import EvaluationRow, log_costs
from bqnn.search.front import hypervolume
from bqnn.search.history import History

LOW, HIGH = 0.1, 0.9


class IterationStats(NamedTuple):
    """The batch of one iteration, as far as it is evaluated.

    Attributes:
      iteration: its number, from 0.
      epsilon: of its exploration.
      evaluated: number of candidates with a settled evaluation.
      failed: number of those without an accuracy, not even at a rung.
      reward_mean, reward_low, reward_high: mean, 10 % and 90 % quantile of the rewards,
        failures included. None if none is evaluated.
      accuracy_mean, accuracy_low, accuracy_high: of the early-stop accuracies.
      best_reward, best_accuracy: the highest so far, among those with an accuracy.
      length_mean: mean number of layers of the blocks asked.
      reused: share of the evaluations that took the result of a canonical twin.
    """

    iteration: int
    epsilon: float
    evaluated: int
    failed: int
    reward_mean: float | None
    reward_low: float | None
    reward_high: float | None
    accuracy_mean: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    best_reward: float | None
    best_accuracy: float | None
    length_mean: float
    reused: float | None


def series(history: History, found: Sequence[EvaluationRow]) -> list[IterationStats]:
    """Sum up every iteration asked.

    Args:
      history: the journal of a search.
      found: its rows.
    """
    batches: dict[int, list[EvaluationRow]] = {}
    for row in found:
        batches.setdefault(row.iteration, []).append(row)
    points: list[IterationStats] = []
    for asked in history.asks:
        lengths = [len(candidate.block) for candidate in asked.candidates]
        batch = batches.get(asked.iteration, [])
        before = points[-1] if points else None
        points.append(_point(asked.iteration, asked.epsilon, lengths, batch, before))
    return points


def _point(
    iteration: int,
    epsilon: float,
    lengths: Sequence[int],
    batch: Sequence[EvaluationRow],
    before: IterationStats | None,
) -> IterationStats:
    measured = [row for row in batch if row.accuracy is not None]
    accuracies = [row.accuracy for row in measured if row.accuracy is not None]
    reused = sum(row.status == "reused" for row in batch)
    return IterationStats(
        iteration,
        epsilon,
        len(batch),
        sum(row.failed for row in batch),
        *_spread([row.reward for row in batch]),
        *_spread(accuracies),
        _highest(
            [row.reward for row in measured], before.best_reward if before else None
        ),
        _highest(accuracies, before.best_accuracy if before else None),
        float(np.mean(lengths)),
        reused / len(batch) if batch else None,
    )


def _spread(
    values: Sequence[float],
) -> tuple[float | None, float | None, float | None]:
    """Return mean, low and high quantile."""
    if not values:
        return None, None, None
    low, high = np.quantile(values, [LOW, HIGH])
    return float(np.mean(values)), float(low), float(high)


def hypervolumes(found: Sequence[EvaluationRow], *costs: str) -> list[float]:
    """Compute the hypervolume of the front after every iteration.

    The limits on a cost go from the least to the largest that was measured, spaced by
    the logarithm (`bqnn.search.front.hypervolume`).

    Args:
      found: the rows.
      *costs: fields of theirs.

    Returns:
      One per iteration with a row; none if by any cost all measured cost the same.
    """
    known = [row for row in found if row.accuracy is not None]
    logs = log_costs(known, *costs)
    if not known or any(min(row) == max(row) for row in logs):
        return []
    ends = [min(row) for row in logs], [max(row) for row in logs]
    areas = []
    for iteration in sorted({row.iteration for row in found}):
        until = [row.iteration <= iteration for row in known]
        accuracies = [row.accuracy or 0.0 for row in compress(known, until)]
        so_far = [[*compress(row, until)] for row in logs]
        areas.append(hypervolume(accuracies, so_far, *ends))
    return areas


def _highest(values: Sequence[float], before: float | None) -> float | None:
    known = [*values, before] if before is not None else values
    return max(known, default=None)

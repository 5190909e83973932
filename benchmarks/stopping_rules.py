"""Stopping rules: which trainings go on, by what was told before they were asked.

A rule is told the curves of trainings, whole or stopped by itself. It then judges a
candidate after every epoch, and sees no more of its curve than was trained.
"""

import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bqnn.config import TrainConfig
from bqnn.evaluation.records import Candidate, Evaluation, Status, missed
from bqnn.search import ladder
from bqnn.search.calibration import Floats, values_of
from bqnn.search.history import Batch

Curve = tuple[float, ...]
"""Accuracies after the epochs trained."""

Judge = Callable[[Candidate, Curve], float | None]
"""Takes a candidate and its curve so far; returns None if training goes on, or else the
end that it foretells, which the agent is told."""

Rule = Callable[[Sequence[Batch], int], Judge]
"""Takes the batches told, and the epochs of a whole training; returns the judge of the
candidates that are asked then."""

LEAST = 8
"""Whole curves that a forecast wants; nobody stops before there are so many."""

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


def whole(told: Sequence[Batch], last: int) -> Judge:
    """Stop nobody."""
    return lambda candidate, curve: None


def rungs(epochs: Sequence[int], eta: float, window: int | None = None) -> Rule:
    """Make the rule of a search with rungs (`bqnn.search.ladder`).

    Args:
      epochs: after which the rungs stand.
      eta: one of so many goes on.
      window: how many batches count, the last ones told; all if None.
    """

    def rule(told: Sequence[Batch], last: int) -> Judge:
        below = tuple(epoch for epoch in epochs if epoch < last)
        seen = ladder.make(TrainConfig(epochs=last, rungs=below, eta=eta))
        for batch in told[-window:] if window else told:
            seen = ladder.tell(seen, batch)
        asked = ladder.rungs(seen)

        def judge(_: Candidate, curve: Curve) -> float | None:
            rung = missed(asked, curve)
            return None if rung is None else min(1.0, curve[-1] + rung.gain)

        return judge

    return rule


def forecasts(
    fitter: Fitter,
    epochs: Sequence[int],
    eta: float | None = None,
    margin: float = 0.0,
) -> Rule:
    """Make a rule that stops whose end is foretold to be too low.

    Args:
      fitter: how ends are foretold.
      epochs: after which they are, ascending; those before the last count.
      eta: the bar is the best 1/eta of the ends told; of those that stopped, the end
        counts that is foretold now. If None, the bar is the best whole training.
      margin: how far an end must be below the bar, in errors of the forecast.
    """

    def rule(told: Sequence[Batch], last: int) -> Judge:
        full = _whole_curves(told, last)
        models = _models(fitter, full, epochs, last)
        if not models:
            return whole(told, last)
        known = {c.hash: (c, e) for batch in told for c, e in batch}.values()
        bar = _bar([*known] if eta else full, models, last, eta or math.inf)

        def judge(candidate: Candidate, curve: Curve) -> float | None:
            model = models.get(len(curve))
            if model is None:
                return None
            end = model.end(candidate, curve)
            return end if end + margin * model.error < bar else None

        return judge

    return rule


def telling(fitter: Fitter, epochs: Sequence[int], rule: Rule) -> Rule:
    """Make a rule that stops whom another one stops, but tells what a forecast says."""

    def told_otherwise(told: Sequence[Batch], last: int) -> Judge:
        models = _models(fitter, _whole_curves(told, last), epochs, last)
        stop = rule(told, last)

        def judge(candidate: Candidate, curve: Curve) -> float | None:
            end, model = stop(candidate, curve), models.get(len(curve))
            return end if end is None or model is None else model.end(candidate, curve)

        return judge

    return told_otherwise


def mean_gain(full: Batch, epoch: int) -> Forecast:
    """Foretell that a candidate gains what others did on average."""
    curves = _curves(full)
    gains = curves[:, -1] - curves[:, epoch - 1]
    gain = float(gains.mean())
    return Forecast(lambda _, curve: curve[-1] + gain, float(gains.std()))


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


def _whole_curves(told: Sequence[Batch], last: int) -> Batch:
    known = {c.hash: (c, e) for batch in told for c, e in batch}
    return [(c, e) for c, e in known.values() if len(e.accuracy) == last]


def _models(
    fitter: Fitter, full: Batch, epochs: Sequence[int], last: int
) -> dict[int, Forecast]:
    """Fit a forecast for each of the epochs before the last; none to too few curves."""
    if len(full) < LEAST:
        return {}
    before = itertools.takewhile(lambda epoch: epoch < last, epochs)
    return {epoch: fitter(full, epoch) for epoch in before}


def _bar(told: Batch, models: Mapping[int, Forecast], last: int, eta: float) -> float:
    """Find the least of the best 1/eta of ends; with infinite eta the best."""
    ends = []
    for candidate, evaluation in told:
        curve = evaluation.accuracy
        is_whole = len(curve) == last
        end = curve[-1] if is_whole else models[len(curve)].end(candidate, curve)
        ends.append(end)
    # With itself, a candidate is one of n + 1, as on a ladder.
    places = max(1, math.floor((len(ends) + 1) / eta))
    return sorted(ends, reverse=True)[places - 1]


def _curves(full: Batch) -> Floats:
    return np.array([evaluation.accuracy for _, evaluation in full])


def _root_mean_square(errors: Floats) -> float:
    return math.sqrt(np.mean(errors**2))


def _compared() -> dict[str, Rule]:
    """Name the rules: where they look, then whom they let go on."""
    found: dict[str, Rule] = {"whole trainings": whole}
    for epochs in ((1, 3), (1,), (2,), (1, 2, 4)):
        where = f"rungs {', '.join(map(str, epochs))}"
        for eta in (2, 3, 4):
            found[f"{where}: 1/{eta}"] = rungs(epochs, eta)
    for eta in (3, 4):
        same = rungs((1, 3), eta)
        found[f"rungs 1, 3: 1/{eta}, ridge"] = telling(ridge, (1, 3), same)
    for window in (2, 4):
        found[f"rungs 1, 3: 1/3, last {window}"] = rungs((1, 3), 3, window)
    found |= _forecasting("gain", mean_gain, (1, 3))
    found |= _forecasting("power", power_law, (2, 4))
    return found | _forecasting("ridge", ridge, (1, 3))


def _forecasting(name: str, fitter: Fitter, few: Sequence[int]) -> dict[str, Rule]:
    where = ", ".join(map(str, few))
    found = {f"{name} at {where}: 1/3": forecasts(fitter, few, 3)}
    every = range(few[0], sys.maxsize)
    for eta in (3, 4):
        found[f"{name}: 1/{eta}"] = forecasts(fitter, every, eta)
    for margin in (0.5, 0.75, 1.0):
        found[f"{name}: best - {margin:g} sd"] = forecasts(fitter, every, None, margin)
    return found


RULES = _compared()
"""The rules compared, by name. Rungs look after the epochs named; forecasts too, or
else after every one. `1/3` lets the best third go on, `last 2` among that of the last
two batches told, `best - 1 sd` those that may still come above the best; `ridge` after
rungs tells the agent what ridge regression foretells of those that stopped."""

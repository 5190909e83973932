"""Stopping rules: which trainings go on, by what was told before they were asked.

A rule is told the curves of trainings, whole or stopped by itself. It then judges a
candidate after every epoch, and sees no more of its curve than was trained.
"""

import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence

from benchmarks.stopping_forecasts import (
    Curve,
    Fitter,
    Forecast,
    mean_gain,
    no_gain,
    power_law,
    ridge,
)
from bqnn.config import TrainConfig
from bqnn.evaluation.records import Candidate, missed
from bqnn.search import ladder
from bqnn.search.history import Batch

Judge = Callable[[Candidate, Curve], float | None]
"""Takes a candidate and its curve so far; returns None if training goes on, or else the
end that it foretells, which the agent is told."""

Rule = Callable[[Sequence[Batch], int], Judge]
"""Takes the batches told, and the epochs of a whole training; returns the judge of the
candidates that are asked then."""

LEAST = 8
"""Whole curves that a forecast wants; nobody stops before there are so many."""


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
        asked = ladder.standing(seen).rungs

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


def _compared() -> dict[str, Rule]:
    """Name the rules: where they look, then whom they let go on."""
    found: dict[str, Rule] = {"whole trainings": whole}
    for epochs in ((1, 3), (1,), (2,), (1, 2, 4)):
        where = f"rungs {', '.join(map(str, epochs))}"
        for eta in (2, 3, 4):
            found[f"{where}: 1/{eta}"] = rungs(epochs, eta)
    same = found["rungs 1, 3: 1/3"]
    found["rungs 1, 3: 1/3, as is"] = telling(no_gain, (1, 3), same)
    found["rungs 1, 3: 1/3, ridge"] = telling(ridge, (1, 3), same)
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
two batches told, `best - 1 sd` those that may still come above the best. Of those that
stopped, `as is` tells the agent their accuracy there, `ridge` what that foretells."""

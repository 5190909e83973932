"""Ladder: candidates stop at a rung unless they are among the best seen there.

Asynchronous successive halving (Li et al., *A system for massively parallel
hyperparameter tuning*, 2020), in the form that stops trainings and never pauses them.
What a batch must reach is decided when it is asked, from all that was told by then. So
a search is the same for any number of workers, a worker needs to ask nobody, and no
half-trained network is kept: what goes on, goes on in the same process.

The best after the last epoch are trained again, by other seeds (ours).
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bqnn.config import TrainConfig
from bqnn.evaluation.records import Candidate, Evaluation, Rung, Standing, taught

_REPEATED = 8.0
"""One of so many is trained again; chosen on digits, see docs/evidence.md."""


class Ladder(NamedTuple):
    """What was seen at the rungs.

    Attributes:
      epochs: after which the rungs stand, ascending, below `last`.
      last: epochs of a whole training.
      eta: one of so many goes on.
      repeats: whether the best are trained again.
      curves: accuracies after each epoch of all that was told, by canonical hash; of
        equal blocks, the first told. Empty where nobody asks for them.
    """

    epochs: tuple[int, ...]
    last: int
    eta: float
    repeats: bool
    curves: Mapping[str, tuple[float, ...]] = {}


def make(config: TrainConfig) -> Ladder:
    """Make the ladder of a recipe, at which nothing was seen."""
    below = tuple(epoch for epoch in config.rungs if epoch < config.epochs)
    return Ladder(below, config.epochs, config.eta, config.repeats > 1)


def tell(ladder: Ladder, batch: Sequence[tuple[Candidate, Evaluation]]) -> Ladder:
    """Take in what a batch has reached."""
    if not ladder.epochs and not ladder.repeats:
        return ladder
    new = {c.hash: e.accuracy for c, e in reversed(batch) if taught(e)}
    return ladder._replace(curves={**new, **ladder.curves})


def standing(ladder: Ladder) -> Standing:
    """Say what candidates that are asked now must reach."""
    again = _cutoff(ladder, ladder.last, _REPEATED) if ladder.repeats else None
    return Standing(tuple(_rung(ladder, epoch) for epoch in ladder.epochs), again)


def _rung(ladder: Ladder, epoch: int) -> Rung:
    whole = [c for c in ladder.curves.values() if len(c) == ladder.last]
    gains = [c[-1] - c[epoch - 1] for c in whole]
    gain = math.fsum(gains) / len(gains) if gains else 0.0
    return Rung(epoch, _cutoff(ladder, epoch, ladder.eta), gain)


def _cutoff(ladder: Ladder, epoch: int, eta: float) -> float:
    """Return what the best 1/`eta` of those seen after an epoch have reached."""
    seen = [c[epoch - 1] for c in ladder.curves.values() if len(c) >= epoch]
    if not seen:
        return 0.0
    # With itself, a candidate is one of n + 1; the best one always goes on.
    places = max(1, math.floor((len(seen) + 1) / eta))
    return sorted(seen, reverse=True)[places - 1]

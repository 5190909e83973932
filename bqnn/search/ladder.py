"""Ladder: candidates stop at a rung unless they are among the best seen there.

Asynchronous successive halving (Li et al., *A system for massively parallel
hyperparameter tuning*, 2020), in the form that stops trainings and never pauses them.
What a batch must reach is decided when it is asked, from all that was told by then. So
a search is the same for any number of workers, a worker needs to ask nobody, and no
half-trained network is kept: what goes on, goes on in the same process.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bqnn.config import TrainConfig
from bqnn.evaluation.records import Candidate, Evaluation, Rung, taught


class Ladder(NamedTuple):
    """What was seen at the rungs.

    Attributes:
      epochs: after which the rungs stand, ascending, below `last`.
      last: epochs of a whole training.
      eta: one of so many goes on.
      curves: accuracies after each epoch of all that was told, by canonical hash; of
        equal blocks, the first told. Empty where there are no rungs.
    """

    epochs: tuple[int, ...]
    last: int
    eta: float
    curves: Mapping[str, tuple[float, ...]] = {}


def make(config: TrainConfig) -> Ladder:
    """Make the ladder of a recipe, at which nothing was seen."""
    below = tuple(epoch for epoch in config.rungs if epoch < config.epochs)
    return Ladder(below, config.epochs, config.eta)


def tell(ladder: Ladder, batch: Sequence[tuple[Candidate, Evaluation]]) -> Ladder:
    """Take in what a batch has reached."""
    if not ladder.epochs:
        return ladder
    new = {c.hash: e.accuracy for c, e in reversed(batch) if taught(e)}
    return ladder._replace(curves={**new, **ladder.curves})


def rungs(ladder: Ladder) -> tuple[Rung, ...]:
    """Say what candidates that are asked now must reach."""
    return tuple(_rung(ladder, epoch) for epoch in ladder.epochs)


def _rung(ladder: Ladder, epoch: int) -> Rung:
    seen = [c for c in ladder.curves.values() if len(c) >= epoch]
    gains = [c[-1] - c[epoch - 1] for c in seen if len(c) == ladder.last]
    gain = math.fsum(gains) / len(gains) if gains else 0.0
    if not seen:
        return Rung(epoch, 0.0, gain)
    # With itself, a candidate is one of n + 1; the best one always goes on.
    places = max(1, math.floor((len(seen) + 1) / ladder.eta))
    best = sorted((c[epoch - 1] for c in seen), reverse=True)
    return Rung(epoch, best[places - 1], gain)

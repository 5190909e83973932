"""Trials: a few candidates, each trained for some steps and timed."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bqnn import numerics
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.data.batches import Batches, all_batches, epoch_batches
from bqnn.engines.registry import engine_name
from bqnn.evaluation.evaluate import prepare
from bqnn.evaluation.records import Candidate, Evaluation

# Seconds that a candidate is timed for: some steps, or a few whole epochs.
_SECONDS, _MOST_ROUNDS = 1.0, 4
# Steps where networks are compiled whole.
_WHOLE_STEPS = 3


class Trial(NamedTuple):
    """A candidate that was timed.

    Attributes:
      candidate: the candidate.
      preparation: seconds before its first step; where networks are compiled whole,
        most of it is that.
      epoch: seconds of an epoch, with its validation.
    """

    candidate: Candidate
    preparation: float
    epoch: float


def spread(candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """Choose candidates spread evenly over those given, from small to large.

    Args:
      candidates: to choose from; of equal blocks, one is enough.
      count: how many to choose; all if there are fewer.
    """
    distinct = {candidate.hash: candidate for candidate in candidates}.values()
    ranked = sorted(distinct, key=lambda c: (c.network_flops, c.hash))
    count = min(count, len(ranked))
    return [ranked[(2 * i + 1) * len(ranked) // (2 * count)] for i in range(count)]


@numerics.pinned()
def run_trial(
    candidate: Candidate,
    config: Config,
    dataset: Dataset,
    on_step: Callable[[], None] = lambda: None,
) -> Trial:
    """Time a candidate that is within the budget.

    The programs of its units are loaded before: a worker does that once for all its
    candidates.

    Args:
      candidate: the candidate.
      config: of the search.
      dataset: as `evaluate.on_device` returns it.
      on_step: called before every step; may raise to end the trial.
    """
    images = len(dataset.train.labels)
    walked = engine_name(config.train, config.network, images) == "walk"
    if walked:
        prepare(candidate, config, dataset)
    prepared = prepare(candidate, config, dataset)
    assert not isinstance(prepared, Evaluation)
    engine, state = prepared
    rate, total = config.train.learning_rate, len(dataset.train.labels)
    batch = min(config.train.batch, total)
    steps = epoch_batches(total, batch, candidate.seed, epoch=0)
    checks = all_batches(len(dataset.validation.labels), batch)
    # A scanned program takes one number of steps.
    few, rounds = (1 if walked else _WHOLE_STEPS), 1
    state, _ = engine.train(state, _first(steps, few), rate, on_step)
    engine.count_correct(state, _first(checks, few))
    before = engine.clock.seconds.copy()
    if walked:
        few, rounds = _fitting(len(steps.indices), before["train"])
    for _ in range(rounds):
        state, _ = engine.train(state, _first(steps, few), rate, on_step)
        engine.count_correct(state, _first(checks, few))
    epoch = 0.0
    for phase, batches in (("train", steps), ("evaluate", checks)):
        share = min(1.0, few / len(batches.indices))
        epoch += (engine.clock.seconds[phase] - before.pop(phase)) / (rounds * share)
    return Trial(candidate, sum(before.values()), epoch)


def _fitting(steps: int, seconds: float) -> tuple[int, int]:
    """Choose how many steps to time, and how often.

    Args:
      steps: of an epoch.
      seconds: that one took.
    """
    few = max(2, min(steps, int(_SECONDS / seconds)))
    return few, max(1, min(_MOST_ROUNDS, int(_SECONDS / seconds / few)))


def _first(batches: Batches, count: int) -> Batches:
    """Take the first batches; all if there are fewer."""
    return Batches(batches.indices[:count], batches.mask[:count])

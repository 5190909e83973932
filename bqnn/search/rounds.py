"""Rounds of full trainings, from which a search learns its reward (ours).

After a quarter of its batches and after half of them a search chooses some of the
blocks that it knows, trains them in full, and fits what early accuracy and size say of
their final accuracy (`bqnn.search.calibration`). What that fit foretells is the reward
from then on; the agent begins anew and is told all results again, by the new reward.
Before the first fit the reward is the early accuracy.

The search waits for a round: so the fit is the same for any number of workers. It is a
fact of the journal, and a replay takes it from there: linear algebra rounds differently
on other machines.
"""

import dataclasses
import hashlib
import itertools
import math
from collections.abc import Sequence

import numpy as np

from bqnn.config import Config, schedule
from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.search import calibration
from bqnn.search.calibration import FITTED, Fit
from bqnn.search.history import Batch, Round
from bqnn.search.problem import Problem, training_seed
from bqnn.search.reward import last_accuracy

_PARTS = (1 / 4, 1 / 2)


def due(problem: Problem, told: int, ended: int) -> bool:
    """Tell whether the next round comes before anything else is asked or told.

    Args:
      problem: the search.
      told: batches told.
      ended: rounds that have ended.
    """
    return told in moments(problem.config)[ended:]


def moments(config: Config) -> list[int]:
    """List how many batches are told before each round, if the reward is learnt."""
    if config.reward.kind != "learned":
        return []
    return after(schedule.parse(config.agent.schedule).iterations)


def after(iterations: int) -> list[int]:
    """List how many batches, of so many, are told before each round."""
    return sorted({math.ceil(part * iterations) for part in _PARTS})


def share(total: int, number: int, rounds: int) -> int:
    """Count the blocks of round `number` if all rounds together have `total`."""
    return total * (number + 1) // rounds - total * number // rounds


def choose(problem: Problem, told: Sequence[Batch], before: Sequence[Round]) -> Round:
    """Choose the blocks of a round, spread over size among the better half.

    Args:
      problem: the search.
      told: the batches told before it.
      before: the rounds before it.
    """
    number, taken = len(before), {c.block for r in before for c in r.candidates}
    known = [pair for pair in _whole(told) if pair[0].block not in taken]
    accuracies = np.array([evaluation.final for _, evaluation in known])
    params = np.array([float(candidate.network_params) for candidate, _ in known])
    total = problem.config.reward.full_blocks
    count = share(total, number, len(moments(problem.config)))
    chosen = calibration.to_train(accuracies, params, min(count, len(known)))
    blocks = [known[index][0] for index in chosen]
    candidates = [_in_full(problem, b, number, slot) for slot, b in enumerate(blocks)]
    return Round(number, len(told), tuple(candidates))


def learn(told: Sequence[Batch], full: Batch) -> Fit | None:
    """Fit final accuracy by what was known early.

    Args:
      told: all batches told.
      full: the blocks that were trained in full.

    Returns:
      None if too few of them have an accuracy, or if early accuracy tells nothing of
      the final one.
    """
    early = {candidate.block: (candidate, e) for candidate, e in _whole(told)}
    ended = [(c, e) for c, e in full if last_accuracy(c, e) is not None]
    pairs = [early[candidate.block] for candidate, _ in ended]
    values = [calibration.values_of(FITTED, *pair) for pair in pairs]
    final = [evaluation.final for _, evaluation in ended]
    return calibration.learn(np.array(values), np.array(final))


def _whole(told: Sequence[Batch]) -> list[tuple[Candidate, Evaluation]]:
    """List what was trained to its last early epoch, the first of equal functions."""
    first: dict[str, tuple[Candidate, Evaluation]] = {}
    for candidate, evaluation in itertools.chain.from_iterable(told):
        if last_accuracy(candidate, evaluation) is not None:
            first.setdefault(candidate.hash, (candidate, evaluation))
    return list(first.values())


def _in_full(
    problem: Problem, candidate: Candidate, number: int, slot: int
) -> Candidate:
    epochs = problem.config.reward.full_epochs
    sha = hashlib.sha256(f"{candidate.hash} {epochs}".encode()).hexdigest()
    return dataclasses.replace(
        candidate,
        iteration=problem.iterations + number,
        slot=slot,
        hash=sha,
        seed=training_seed(problem.config, sha),
        rungs=(),
        repeat_from=None,
        epochs=epochs,
    )

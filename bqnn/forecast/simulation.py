"""Simulation: a search played with made-up accuracies instead of trainings.

What asks, is told, reuses and stops at rungs is the code of a real search. So it tells
which blocks come again as epsilon falls, which are over the budget, how large those are
that the agent comes to prefer, and how many epochs rungs leave them.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from bqnn.config import Config, schedule
from bqnn.evaluation.recipe import over_budget
from bqnn.evaluation.records import (
    Candidate,
    Evaluation,
    Status,
    missed,
    repeated,
    reuse,
)
from bqnn.networks.plan import ImageSpec
from bqnn.search.history import Batch
from bqnn.search.problem import Problem, make_problem
from bqnn.search.reward import reference_block
from bqnn.search.state import ask_batch, first_state, tell_batch

_SHARES = (0.0, 0.6, 0.7, 0.8, 1.0)
"""How far size decides a block's accuracy, and not chance, in each simulation.

At 0.7 it ranks 299 random blocks as FLOPs do with a correlation (Spearman) of 0.83. Of
their accuracies on digits that was 0.71 after one epoch, and 0.82 after nine.
"""

MOST_SIMULATED = 640
"""Candidates of a simulation, about; a longer search is a stretched one."""

Simulation = tuple[Batch, ...]
"""The candidates of a simulated search, with their evaluations."""


class Played(NamedTuple):
    """A search, simulated several times.

    Attributes:
      config: of the whole search.
      images: what its images are like.
      simulations: of about `MOST_SIMULATED` candidates at most, from the least FLOPs of
        all trainings to the most. The one in the middle is the one expected.
    """

    config: Config
    images: ImageSpec
    simulations: tuple[Simulation, ...]

    @property
    def expected(self) -> Simulation:
        """The simulation in the middle."""
        return self.simulations[len(self.simulations) // 2]

    @property
    def trained(self) -> list[Candidate]:
        """The candidates that it trains."""
        return [c for batch in self.expected for c, e in batch if epochs_of(e)]


def epochs_of(evaluation: Evaluation) -> int:
    """Count the epochs that an evaluation takes; one that is reused takes none."""
    own = evaluation.status != Status.REUSED
    return len(evaluation.accuracy) * (1 + len(evaluation.repeats)) if own else 0


def shortened(config: Config, iterations: int) -> Config:
    """Spread the schedule of epsilon over so many iterations."""
    new = str(schedule.stretched(config.agent.schedule, iterations))
    agent = dataclasses.replace(config.agent, schedule=new)
    return dataclasses.replace(config, agent=agent)


def play(
    config: Config,
    images: ImageSpec,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Played:
    """Simulate a search several times.

    Args:
      config: of the search.
      images: what its images are like.
      on_batch: called after every batch with how many are simulated, of how many; may
        raise to end it.
    """
    whole = schedule.parse(config.agent.schedule).iterations
    few = min(whole, -(-MOST_SIMULATED // config.search.batch))
    problem, found = make_problem(shortened(config, few), images), list[Simulation]()
    for share in _SHARES:
        batches = []
        made = functools.partial(made_up, problem, share)
        for batch in simulate(problem, made):
            batches.append(batch)
            on_batch(len(found) * few + len(batches), len(_SHARES) * few)
        found.append(tuple(batches))
    return Played(config, images, tuple(sorted(found, key=_flops)))


def simulate(
    problem: Problem, evaluate: Callable[[Candidate], Evaluation]
) -> Iterator[Batch]:
    """Play a whole search in slot order, and yield its batches.

    Args:
      problem: the search.
      evaluate: called for every function once.
    """
    state, waiting = first_state(problem, ()), list[Batch]()
    known: dict[str, Evaluation] = {}
    for iteration in range(problem.iterations):
        pending = [candidate for batch in waiting for candidate, _ in batch]
        ask = ask_batch(problem, state, iteration, iteration - len(waiting), pending)
        batch = []
        for candidate in ask.candidates:
            if candidate.hash in known:
                batch.append((candidate, reuse(known[candidate.hash])))
            else:
                known[candidate.hash] = evaluate(candidate)
                batch.append((candidate, known[candidate.hash]))
        yield batch
        waiting.append(batch)
        if len(waiting) > problem.config.search.lag:
            state = tell_batch(problem, state, waiting.pop(0))


def made_up(problem: Problem, share: float, candidate: Candidate) -> Evaluation:
    """Make an evaluation up, whose accuracy is the same after every epoch.

    Args:
      problem: the search.
      share: of size in accuracy; the rest is drawn.
      candidate: to evaluate.
    """
    config, images, train = problem.config, problem.images, problem.config.train
    block, latency = candidate.block, candidate.latency
    if excess := over_budget(block, latency, config, images):
        return Evaluation(Status.OVER_BUDGET, error=excess)
    reference, _ = reference_block(config.network, images)
    size = candidate.block_flops / (candidate.block_flops + reference)
    drawn = hashlib.sha256(f"{share} {candidate.hash}".encode()).digest()
    chance = int.from_bytes(drawn[:4], "big") / 2**32
    accuracy = (share * size + (1 - share) * chance,) * train.epochs
    if rung := missed(candidate.rungs, accuracy):
        return Evaluation(Status.STOPPED, accuracy[: rung.epoch])
    again = repeated(candidate, accuracy) * (train.repeats - 1)
    return Evaluation(Status.OK, accuracy, repeats=accuracy[-1:] * again)


def _flops(simulation: Simulation) -> int:
    """Add up the multiply-adds of all epochs, for an image."""
    return sum(epochs_of(e) * c.network_flops for batch in simulation for c, e in batch)

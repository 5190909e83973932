"""Simulation: a search played with made-up accuracies instead of trainings.

Agent, journal, reuse, rungs and reward are those of a real search. So it tells which
blocks come again as epsilon falls, which are over the budget, how large those are that
the agent comes to prefer, and how many epochs rungs leave them.
"""

import dataclasses
import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bqnn.config import Config, schedule
from bqnn.data import Dataset
from bqnn.engines.progress import WarmUpProgress
from bqnn.evaluation.records import Candidate, Evaluation, Status, missed
from bqnn.executors.executor import Options
from bqnn.executors.inline import InlineExecutor
from bqnn.networks import cost
from bqnn.networks.plan import ImageSpec, plan
from bqnn.search import journal
from bqnn.search.events import Evaluated
from bqnn.search.history import Run
from bqnn.search.master import search
from bqnn.search.problem import Problem, make_problem
from bqnn.search.reward import reference_block

SHARES = (0.7, 0.0, 1.0)
"""How far size decides a block's accuracy, and not chance: as expected, and the ends.

At 0.7 it ranks 299 random blocks as FLOPs do with a correlation (Spearman) of 0.83. Of
their accuracies on digits that was 0.71 after one epoch, and 0.82 after nine.
"""

MOST_SIMULATED = 640
"""Candidates of a simulation, about; a longer search is a stretched one."""

# As long as what a training records; it is part of the journal's size.
_PHASES = dict.fromkeys(("prepare", "compile", "train", "evaluate"), 1.23456789012345)
_DEVICE = "a device; jaxlib 0.00.0; the model name of a processor @ 0.00GHz; NPROC=1"


class Simulated(NamedTuple):
    """A candidate of a simulated search.

    Attributes:
      candidate: the candidate.
      status: how its evaluation ended.
      epochs: that it was trained; 0 if it was reused, or over the budget.
    """

    candidate: Candidate
    status: Status
    epochs: int


class Simulation(NamedTuple):
    """A simulated search.

    Attributes:
      batches: its candidates by iteration and slot.
      journal_bytes: size of its journal.
    """

    batches: tuple[tuple[Simulated, ...], ...]
    journal_bytes: int

    @property
    def trained(self) -> list[Candidate]:
        """The candidates that were trained."""
        flat = itertools.chain.from_iterable(self.batches)
        return [simulated.candidate for simulated in flat if simulated.epochs]


class Played(NamedTuple):
    """A search, simulated with several shares of size in accuracy.

    Attributes:
      config: of the whole search.
      images: what its images are like.
      simulations: of about `MOST_SIMULATED` candidates at most; the first is the one
        expected.
    """

    config: Config
    images: ImageSpec
    simulations: tuple[Simulation, ...]


def shortened(config: Config, iterations: int) -> Config:
    """Spread the schedule of epsilon over so many iterations."""
    new = str(schedule.stretched(config.agent.schedule, iterations))
    agent = dataclasses.replace(config.agent, schedule=new)
    return dataclasses.replace(config, agent=agent)


def play(
    config: Config,
    dataset: Dataset,
    shares: Sequence[float] = SHARES,
    on_candidate: Callable[[int, int], None] = lambda done, total: None,
) -> Played:
    """Simulate a search.

    Args:
      config: of the search.
      dataset: its data, of which nothing is read.
      shares: of size in accuracy; a simulation for each.
      on_candidate: called after every candidate with how many are simulated, of how
        many; may raise to end it.
    """
    whole = schedule.parse(config.agent.schedule).iterations
    few = min(whole, -(-MOST_SIMULATED // config.search.batch))
    problem = make_problem(shortened(config, few), dataset.spec)
    total, numbers = len(shares) * few * config.search.batch, itertools.count(1)
    simulations = tuple(
        simulate(problem, dataset, share, lambda: on_candidate(next(numbers), total))
        for share in shares
    )
    return Played(config, dataset.spec, simulations)


def simulate(
    problem: Problem,
    dataset: Dataset,
    share: float,
    on_candidate: Callable[[], None] = lambda: None,
) -> Simulation:
    """Play a whole search; its journal lies in a temporary directory, and is lost.

    Args:
      problem: the search.
      dataset: its data, of which nothing is read.
      share: of size in accuracy.
      on_candidate: called after every candidate; may raise to end the simulation.
    """
    config, found = problem.config, {}
    options = Options(make_worker=lambda *_: _Player(problem, share))
    executor = InlineExecutor(config, options)
    for _ in executor.start(dataset):
        pass
    with (
        tempfile.TemporaryDirectory(prefix="bqnn-") as folder,
        journal.create_or_open(Path(folder)) as opened,
    ):
        opened.start(Run(config, problem.images, "simulated", {}))
        for event in search(problem, opened, executor):
            if isinstance(event, Evaluated):
                found[event.candidate.id] = _simulated(event)
                on_candidate()
        size = opened.path.stat().st_size
    slots = range(config.search.batch)
    batches = (
        tuple(found[iteration, slot] for slot in slots)
        for iteration in range(problem.iterations)
    )
    return Simulation(tuple(batches), size)


def _simulated(event: Evaluated) -> Simulated:
    evaluation = event.evaluation
    own = evaluation.status != Status.REUSED
    epochs = len(evaluation.accuracy) if own else 0
    return Simulated(event.candidate, evaluation.status, epochs)


class _Player:
    """A worker that trains nothing (`bqnn.executors.executor.CandidateWorker`)."""

    pipelined = False

    def __init__(self, problem: Problem, share: float) -> None:
        """Take what accuracies are made of."""
        self._config, self._images = problem.config, problem.images
        self._share = share
        self._reference, _ = reference_block(self._config.network, self._images)

    def warm_up(self) -> Iterator[WarmUpProgress]:
        """There is nothing to compile."""
        return iter(())

    def run(
        self,
        candidate: Candidate,
        following: Sequence[Candidate] = (),
        interrupted: Callable[[], bool] = lambda: False,
    ) -> Evaluation:
        """Make an evaluation up, as long as a training's would be."""
        whole = cost.network_cost(
            plan(candidate.block, self._config.network, self._images)
        )
        train, budget = self._config.train, self._config.budget
        excess = cost.over_budget(whole, train.batch, train.dtype, budget)
        if excess:
            return Evaluation(Status.OVER_BUDGET, error=excess)
        accuracy = (self._accuracy(candidate),) * (candidate.epochs or train.epochs)
        rung = missed(candidate.rungs, accuracy)
        status, reached = Status.OK, accuracy
        if rung is not None:
            status, reached = Status.STOPPED, accuracy[: rung.epoch]
        return Evaluation(status, reached, 0, _PHASES, _DEVICE)

    def _accuracy(self, candidate: Candidate) -> float:
        """Make an accuracy up, the same after every epoch."""
        size = candidate.block_flops / (candidate.block_flops + self._reference)
        chance = int(candidate.hash[:8], 16) / 2**32
        return self._share * size + (1 - self._share) * chance

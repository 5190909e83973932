"""Simulation: a search played with made-up accuracies instead of trainings.

Agent, journal, reuse, rungs and reward are those of a real search. So it tells which
blocks come again as epsilon falls, which are over the budget, and how many epochs the
others are trained, as far as that depends on the accuracies' order alone.
"""

import dataclasses
import hashlib
import itertools
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from bqnn.space.nsc import Block, Layer, LayerType

Quality = Callable[[Candidate], float]
"""Candidate -> its made-up accuracy, the same after every epoch."""

MOST_SIMULATED = 640
"""Candidates of a simulation, about; a longer search is a stretched one."""

GUESSES = ("some", "large", "small")
"""How accuracy may go with the size of blocks.

Up to some degree, as it did wherever we measured it after few epochs; up, and nothing
else decides it; or down.
"""

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


class Played(NamedTuple):
    """A search, simulated under several guesses of how accuracy goes with size.

    Attributes:
      config: of the whole search.
      images: what its images are like.
      by_guess: the simulations, of about `MOST_SIMULATED` candidates at most; the first
        is the one expected.
    """

    config: Config
    images: ImageSpec
    by_guess: Mapping[str, Simulation]

    @property
    def expected(self) -> Simulation:
        """The simulation that the figures in the middle are of."""
        return next(iter(self.by_guess.values()))


def shortened(config: Config, iterations: int) -> Config:
    """Spread the schedule of epsilon over so many iterations."""
    new = str(schedule.stretched(config.agent.schedule, iterations))
    agent = dataclasses.replace(config.agent, schedule=new)
    return dataclasses.replace(config, agent=agent)


def play(
    config: Config,
    dataset: Dataset,
    guesses: Sequence[str] = GUESSES,
    on_candidate: Callable[[int, int], None] = lambda done, total: None,
) -> Played:
    """Simulate a search under several guesses.

    Args:
      config: of the search.
      dataset: its data, of which nothing is read.
      guesses: their names.
      on_candidate: called after every candidate with how many are simulated, of how
        many; may raise to end it.
    """
    whole = schedule.parse(config.agent.schedule).iterations
    few = min(whole, -(-MOST_SIMULATED // config.search.batch))
    problem = make_problem(shortened(config, few), dataset.spec)
    known, numbers = qualities(problem), itertools.count(1)
    total = len(guesses) * few * config.search.batch
    by_guess = {
        name: simulate(
            problem, dataset, known[name], lambda: on_candidate(next(numbers), total)
        )
        for name in guesses
    }
    return Played(config, dataset.spec, by_guess)


def qualities(problem: Problem) -> dict[str, Quality]:
    """Return what makes accuracies up, by guess.

    Accuracies are not known before the search, but how often it asks the same block,
    and how large blocks it prefers, depends on them.
    """
    config, images = problem.config, problem.images
    smallest, largest = (
        math.log(cost.stacked_cost(block, config.network, images)[0].flops)
        for block in (_chain(1, 1), _chain(5, config.space.max_layers))
    )

    def chance(candidate: Candidate) -> float:
        number = hashlib.sha256(candidate.hash.encode()).digest()[:4]
        return int.from_bytes(number, "big") / 2**32

    def size(candidate: Candidate) -> float:
        relative = math.log(candidate.network_flops) - smallest
        return min(1.0, max(0.0, relative / (largest - smallest)))

    return {
        "some": lambda candidate: (chance(candidate) + size(candidate)) / 2,
        "large": size,
        "small": lambda candidate: 1.0 - size(candidate),
    }


def _chain(kernel: int, layers: int) -> Block:
    """Make a block of convolutions, each of which reads the one before it."""
    kind = LayerType.CONVOLUTION
    return Block(tuple(Layer(i, kind, kernel, i - 1, 0) for i in range(1, layers + 1)))


def simulate(
    problem: Problem,
    dataset: Dataset,
    quality: Quality,
    on_candidate: Callable[[], None] = lambda: None,
) -> Simulation:
    """Play a whole search; its journal lies in a temporary directory, and is lost.

    Args:
      problem: the search.
      dataset: its data, of which nothing is read.
      quality: makes accuracies up.
      on_candidate: called after every candidate; may raise to end the simulation.
    """
    config, found = problem.config, {}
    options = Options(make_worker=lambda *_: _Player(problem, quality))
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

    def __init__(self, problem: Problem, quality: Quality) -> None:
        """Take what makes accuracies up."""
        self._config, self._images = problem.config, problem.images
        self._quality = quality

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
        excess = excess_of(candidate, self._config, self._images)
        if excess:
            return Evaluation(Status.OVER_BUDGET, error=excess)
        epochs = candidate.epochs or self._config.train.epochs
        accuracy = (self._quality(candidate),) * epochs
        rung = missed(candidate.rungs, accuracy)
        if rung is None:
            return Evaluation(Status.OK, accuracy, 0, _PHASES, _DEVICE)
        reached = accuracy[: rung.epoch]
        return Evaluation(Status.STOPPED, reached, 0, _PHASES, _DEVICE)


def excess_of(candidate: Candidate, config: Config, images: ImageSpec) -> str:
    """Describe what exceeds the budget; empty if nothing does."""
    whole = cost.network_cost(plan(candidate.block, config.network, images))
    return cost.over_budget(
        whole, config.train.batch, config.train.dtype, config.budget
    )

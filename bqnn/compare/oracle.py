"""Oracle: every block of a small space, trained with several seeds."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from bqnn.compare.tabular import all_actions, check_size
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.errors import SearchError
from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.executors.executor import (
    CandidateWorker,
    Executor,
    run_all,
    training_worker,
)
from bqnn.networks.plan import ImageSpec
from bqnn.search.problem import make_candidate, make_problem
from bqnn.search.reward import last_accuracy
from bqnn.space import nsc

CPU = "cpu"
"""The phase of `Evaluation.seconds` that `TimedWorker` adds."""


class Trained(NamedTuple):
    """A block and its trainings.

    Attributes:
      candidate: the block and its cost; the seed is that of the first training.
      evaluations: one for every seed.
    """

    candidate: Candidate
    evaluations: tuple[Evaluation, ...]


def canonical_blocks(config: Config, images: ImageSpec) -> list[nsc.Block]:
    """List the shortest block of each canonical hash, those with fewest layers first.

    Blocks with equally many layers come in the order of their hashes, which is as good
    as random: the first N blocks are all the small ones, and a random sample of those
    with one layer more.

    Raises:
      ConfigError: if the space has too many.
    """
    space = make_problem(config, images).space
    check_size(space.arrays)
    found: dict[str, nsc.Block] = {}
    for actions in all_actions(space.arrays):
        block = space.decode(actions)
        sha = nsc.canonical_hash(block, config.network.width)
        if len(block) < len(found.setdefault(sha, block)):
            found[sha] = block
    return [found[sha] for sha in sorted(found, key=lambda s: (len(found[s]), s))]


def train_blocks(
    blocks: Sequence[nsc.Block],
    config: Config,
    images: ImageSpec,
    seeds: int,
    executor: Executor,
) -> Iterator[Trained]:
    """Train blocks with several seeds, and yield each when it is done.

    Raises:
      SearchError: if a training ends without an accuracy.
    """
    problems = [make_problem(_with_seed(config, s), images) for s in range(seeds)]
    # The id (iteration, slot) of a candidate is (number of its block, seed).
    candidates = [
        make_candidate(problem, block, number, seed)
        for number, block in enumerate(blocks)
        for seed, problem in enumerate(problems)
    ]
    done: dict[int, dict[int, Evaluation]] = {}
    for candidate, evaluation in run_all(candidates, executor):
        if last_accuracy(candidate, evaluation) is None:
            raise SearchError(
                f"{candidate.block}: {evaluation.status}, {evaluation.error}"
            )
        number, seed = candidate.id
        results = done.setdefault(number, {})
        results[seed] = evaluation
        if len(results) == seeds:
            del done[number]
            evaluations = tuple(results[seed] for seed in range(seeds))
            yield Trained(candidates[number * seeds], evaluations)


def _with_seed(config: Config, seed: int) -> Config:
    search = dataclasses.replace(config.search, seed=seed)
    return dataclasses.replace(config, search=search)


class TimedWorker:
    """A worker that also measures the CPU seconds of its process.

    Unlike wall time, they hardly depend on what else the machine does, and a process
    that is stopped uses none.
    """

    def __init__(self, worker: CandidateWorker) -> None:
        """Measure a worker."""
        self._worker = worker
        self.pipelined, self.warm_up = worker.pipelined, worker.warm_up

    def run(
        self,
        candidate: Candidate,
        following: Sequence[Candidate] = (),
        interrupted: Callable[[], bool] = lambda: False,
    ) -> Evaluation:
        """Evaluate a candidate, as `CandidateWorker` says."""
        start = time.process_time()
        evaluation = self._worker.run(candidate, following, interrupted)
        seconds = {**evaluation.seconds, CPU: time.process_time() - start}
        return dataclasses.replace(evaluation, seconds=seconds)


def timed_worker(config: Config, dataset: Dataset) -> CandidateWorker:
    """Make a worker that trains candidates and measures CPU seconds."""
    return TimedWorker(training_worker(config, dataset))

"""The protocol of executors, their options, and a run without agent or journal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.engines.progress import WarmUpProgress
from bqnn.evaluation.records import (
    Candidate,
    CandidateId,
    Evaluation,
    Status,
    is_settled,
)
from bqnn.executors.activity import Activity

Attempt = tuple[Candidate, Evaluation]


class CandidateWorker(Protocol):
    """The interface of a worker to executors.

    Attributes:
      pipelined: whether it prepares the candidates that follow.
    """

    @property
    def pipelined(self) -> bool: ...  # noqa: D102

    def warm_up(self) -> Iterator[WarmUpProgress]:
        """Compile, once, what all candidates need; yields how far it is."""

    def run(
        self,
        candidate: Candidate,
        following: Sequence[Candidate] = (),
        interrupted: Callable[[], bool] = lambda: False,
    ) -> Evaluation:
        """Evaluate a candidate; whatever goes wrong is a status.

        Args:
          candidate: what to evaluate.
          following: what will be evaluated next, in order, as far as that is known.
          interrupted: tells, before every training step, whether to stop.

        Raises:
          BqnnError: as `run_guarded` lets it through.
          KeyboardInterrupt: if interrupted.
        """


MakeWorker = Callable[[Config, Dataset], CandidateWorker]
"""(configuration of the search, data) -> worker."""


class Ready(NamedTuple):
    """A worker has started, and takes candidates.

    Attributes:
      pipelined: whether it prepares the candidates that follow.
      host: of a cluster's node; empty on this machine.
      device: that it trains on, as `Evaluation.device` says; empty if unknown.
    """

    pipelined: bool
    host: str = ""
    device: str = ""


def training_worker(config: Config, dataset: Dataset) -> CandidateWorker:
    """Make a worker that trains candidates; this call imports the engines."""
    from bqnn.executors.worker import Worker

    return Worker(config, dataset)


class Options(NamedTuple):
    """How to evaluate candidates; nothing here changes results.

    Attributes:
      interrupted: tells whether the user asked to stop.
      cache_dir: where compiled programs are kept; only while it runs if None.
      workers: how many; what the machine or the cluster has room for if None.
      per_device: how many share an accelerator of this machine.
      memory: bytes that one worker may hold; its share of the machine if None.
      resources: what a worker on a cluster takes, by name; ray's names.
      address: of the cluster; one on this machine alone if None.
      make_worker: makes what evaluates candidates in a worker.
    """

    interrupted: Callable[[], bool] = lambda: False
    cache_dir: str | None = None
    workers: int | None = None
    per_device: int = 1
    memory: int | None = None
    resources: Mapping[str, float] | None = None
    address: str | None = None
    make_worker: MakeWorker = training_worker


class Executor(Protocol):
    """Takes candidates, gives evaluations, in whatever order they end.

    An implementation evaluates with `bqnn.executors.guard.run_guarded` on
    `config.train.threads` CPU threads, and lets a `BqnnError` through: that one would
    meet every candidate. The master decides which candidate comes when, and what is
    tried again.

    Attributes:
      shares_memory: whether candidates evaluated at the same time share one machine's
        memory: then one that ran out of it is tried again with no other beside it.
    """

    shares_memory: bool

    def start(self, dataset: Dataset) -> Iterator[WarmUpProgress]:
        """Make workers ready; yields progress of what must be compiled first.

        Args:
          dataset: that all candidates learn from.
        """

    def free(self) -> int:
        """Count the candidates that can be taken now."""

    def submit(self, candidate: Candidate) -> None:
        """Take a candidate, while `free` is not 0; returns at once."""

    def collect(self) -> list[Attempt]:
        """Wait, for a moment, until attempts have ended or `free` has grown.

        Returns:
          The attempts that ended; none if what happened was something else.

        Raises:
          LookupError: if no candidate was submitted that was not collected.
          KeyboardInterrupt: if interrupted; what was being evaluated is not recorded.
        """

    def devices(self) -> frozenset[str]:
        """List the devices of the workers that are ready, as `Ready` says."""

    def activities(self) -> list[Activity]:
        """List what the workers are doing."""

    def close(self) -> None:
        """Stop all workers and forget what they were doing."""


def run_all(candidates: Sequence[Candidate], executor: Executor) -> Iterator[Attempt]:
    """Evaluate candidates, and yield each with its final evaluation when it is done.

    Args:
      candidates: with different ids; the first start first.
      executor: that was started.
    """
    waiting = list(reversed(candidates))
    statuses: dict[CandidateId, list[Status]] = {c.id: [] for c in candidates}
    running = 0
    while waiting or running:
        while waiting and executor.free() > 0:
            executor.submit(waiting.pop())
            running += 1
        for candidate, evaluation in executor.collect():
            running -= 1
            seen = statuses[candidate.id]
            seen.append(evaluation.status)
            if is_settled(seen):
                yield candidate, evaluation
            else:
                waiting.insert(0, candidate)

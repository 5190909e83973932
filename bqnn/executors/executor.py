"""The protocol of executors."""

from collections.abc import Iterator
from typing import Protocol

from bqnn.data import Dataset
from bqnn.engines.warmup import Progress
from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.executors.activity import Activity

Attempt = tuple[Candidate, Evaluation]


class Executor(Protocol):
    """Takes candidates, gives evaluations, in whatever order they end.

    Whoever implements it evaluates with `bqnn.executors.guard.run_guarded` on
    `config.train.threads` CPU threads, and lets a `BqnnError` through: that one would
    meet every candidate. Which candidate comes when, and what is tried again, is the
    master's to say.

    Attributes:
      shares_memory: whether candidates evaluated at the same time share one machine's
        memory: then one that ran out of it is tried again with no other beside it.
    """

    shares_memory: bool

    def start(self, dataset: Dataset) -> Iterator[Progress]:
        """Make workers ready; yields progress of what must be compiled first.

        Args:
          dataset: that all candidates learn from.
        """

    def free(self) -> int:
        """Count the candidates that can be taken now."""

    def submit(self, candidate: Candidate) -> None:
        """Take a candidate, while there is a place free; returns at once."""

    def collect(self) -> list[Attempt]:
        """Wait until attempts have ended, or there are more places, for a moment.

        Returns:
          The attempts that ended; none if what happened was something else.

        Raises:
          LookupError: if no candidate was submitted that was not collected.
          KeyboardInterrupt: if interrupted; what was being evaluated is not recorded.
        """

    def activities(self) -> list[Activity]:
        """List what the workers are doing."""

    def close(self) -> None:
        """Stop all workers and forget what they were doing."""

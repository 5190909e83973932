"""An executor that tells what its workers are doing."""

import time
from collections.abc import Iterator
from pathlib import Path

from bqnn.data import Dataset
from bqnn.engines.warmup import Progress
from bqnn.evaluation.records import Candidate
from bqnn.executors import activity
from bqnn.executors.activity import Activity
from bqnn.executors.executor import Attempt, Executor

# It rests so many times as long as it wrote: telling may take 1 % of the master's time.
_REST = 100


class ObservedExecutor:
    """Evaluates as another executor does, and writes its activities to a file."""

    def __init__(self, executor: Executor, workdir: Path) -> None:
        """Take over `executor`; the file lies in `workdir`."""
        self.shares_memory = executor.shares_memory
        self._executor, self._workdir = executor, workdir
        self._told: list[Activity] | None = None
        self._ready = 0.0

    def start(self, dataset: Dataset) -> Iterator[Progress]:
        """Make workers ready."""
        for progress in self._executor.start(dataset):
            self._tell()
            yield progress

    def free(self) -> int:
        """Count the candidates that can be taken now."""
        return self._executor.free()

    def submit(self, candidate: Candidate) -> None:
        """Take a candidate."""
        self._executor.submit(candidate)

    def collect(self) -> list[Attempt]:
        """Wait for attempts."""
        self._tell()  # before: what collects may be what evaluates
        return self._executor.collect()

    def activities(self) -> list[Activity]:
        """List what the workers are doing."""
        return self._executor.activities()

    def close(self) -> None:
        """Stop the workers, of which there is nothing to tell then."""
        self._executor.close()
        if self._told is not None:  # else the file is of another master, which runs
            activity.forget(self._workdir)

    def _tell(self) -> None:
        start = time.monotonic()
        if start < self._ready:
            return
        now = self.activities()
        if now != self._told:
            activity.write(self._workdir, now)
            self._told = now
        end = time.monotonic()
        self._ready = end + _REST * (end - start)

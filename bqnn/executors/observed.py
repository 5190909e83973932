"""Observed executor: writes the activities of another executor to a file."""

import time
from collections.abc import Iterator
from pathlib import Path

from bqnn.data import Dataset
from bqnn.engines.progress import WarmUpProgress
from bqnn.evaluation.records import Candidate
from bqnn.executors import activity
from bqnn.executors.activity import Activity
from bqnn.executors.executor import Attempt, Executor

# Sleep 100 x the write time: at most 1 % overhead for the master.
_REST = 100


class ObservedExecutor:
    """Evaluates as another executor does, and writes its activities to a file."""

    def __init__(self, executor: Executor, workdir: Path) -> None:
        """Take over `executor`; the file lies in `workdir`."""
        self.shares_memory = executor.shares_memory
        self._executor, self._workdir = executor, workdir
        self._written: list[Activity] | None = None
        self._next_write = 0.0

    def start(self, dataset: Dataset) -> Iterator[WarmUpProgress]:
        """Make workers ready."""
        for progress in self._executor.start(dataset):
            self._write()
            yield progress

    def free(self) -> int:
        """Count the candidates that can be taken now."""
        return self._executor.free()

    def submit(self, candidate: Candidate) -> None:
        """Take a candidate."""
        self._executor.submit(candidate)

    def collect(self) -> list[Attempt]:
        """Wait for attempts."""
        self._write()  # before: an inline executor evaluates while it collects
        return self._executor.collect()

    def devices(self) -> frozenset[str]:
        """List the devices of the workers."""
        return self._executor.devices()

    def activities(self) -> list[Activity]:
        """List what the workers are doing."""
        return self._executor.activities()

    def close(self) -> None:
        """Stop the workers, and remove the file."""
        self._executor.close()
        if self._written is not None:  # else another master may own the file
            activity.forget(self._workdir)

    def _write(self) -> None:
        start = time.monotonic()
        if start < self._next_write:
            return
        now = self.activities()
        if now != self._written:
            activity.write(self._workdir, now)
            self._written = now
        end = time.monotonic()
        self._next_write = end + _REST * (end - start)

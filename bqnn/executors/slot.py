"""One place for a worker process: whoever dies in it is replaced."""

import contextlib
import os
import signal
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from typing import Any

from bqnn.errors import BqnnError, SearchError
from bqnn.executors import worker_process
from bqnn.executors.lane import GRACE, Lane
from bqnn.executors.worker_process import Ready, Settings, WorkerLostError
from bqnn.orphans import end_with
from bqnn.records import Candidate, Evaluation, Status

# Processes that may die, one after the other, before one of them is ready.
_MAX_STARTS = 3


class Slot(Lane):
    """A pool of one process, so that it has devices and a memory of its own.

    Attributes:
      settings: of its process.
      future: of what it is doing; None if nothing.
      ready: the process that can take candidates; None while it starts.
    """

    future: Future[Any] | None
    ready: Ready | None

    def __init__(self, name: str, settings: Settings) -> None:
        """Start a process, which loads the data."""
        super().__init__(name)
        self.settings = settings
        self._deaths = 0
        self._progress_file: str | None = None
        self._start()

    def make_ready(self, progress_file: str | None = None) -> None:
        """Have the process compile, or load, what candidates are made of."""
        self._progress_file = progress_file
        self.future = self._pool.schedule(
            worker_process.make_ready, args=[progress_file]
        )

    def finish_starting(self) -> None:
        """Take note that the process is ready, or start another one.

        Raises:
          BqnnError: as the process raises it; `SearchError` if several died.
        """
        assert self.future
        error = self._started.exception() or self.future.exception()
        if error is None:
            self.ready, self.future, self._deaths = self.future.result(), None, 0
            self.open(self.ready.pipelined)
            return
        if isinstance(error, BqnnError):
            raise error
        self._deaths += 1
        if self._deaths == _MAX_STARTS:
            raise SearchError(
                f"{self.name} does not start, {_MAX_STARTS} times in a row: "
                f"{type(error).__name__}: {error}"
            )
        self.replace()

    def begin(self, candidate: Candidate, following: Candidate | None) -> None:
        """Have the process evaluate `candidate`, and prepare `following`."""
        self.future = self._pool.schedule(
            worker_process.work,
            args=[candidate, following],
            timeout=self.settings.config.budget.timeout + GRACE,
        )

    def replace(self) -> None:
        """Kill the process and start another one."""
        self.stop()
        self._start()
        self.make_ready(self._progress_file)

    def stop(self) -> None:
        """Kill the process."""
        self._pool.stop()
        # It has nothing to save, and need not be asked first.
        for child in active_children():
            if self.ready and child.pid == self.ready.process:
                child.kill()
        self._pool.join()

    def _start(self) -> None:
        from pebble import ProcessPool  # not where candidates are evaluated inline

        self._pool = ProcessPool(
            max_workers=1,
            initializer=end_with,
            initargs=[os.getpid()],
            context=get_context("spawn"),
        )
        self._started = self._pool.schedule(worker_process.start, args=[self.settings])
        self.future = self._started
        self.ready = None
        self.reset()


def lost(error: BaseException) -> Evaluation | None:
    """Make the evaluation of a candidate whose process died; None if it did not."""
    from pebble import ProcessExpired

    if isinstance(error, ProcessExpired):
        cause = f"process {error.pid} ended with {_exit(error.exitcode)}"
    elif isinstance(error, WorkerLostError | BrokenProcessPool):
        cause = str(error)
    else:
        return None
    return Evaluation(Status.WORKER_LOST, error=cause)


def _exit(code: int) -> str:
    """Name the signal that a process died of, or its exit status."""
    if code >= 0:
        return f"status {code}"
    with contextlib.suppress(ValueError):
        code_name = signal.Signals(-code).name
        hint = ", which the system sends when memory runs out" if code == -9 else ""
        return f"{code_name}{hint}"
    return f"signal {-code}"

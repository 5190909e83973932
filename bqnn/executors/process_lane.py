"""Process lane: a worker process and its candidates; a dead process is replaced."""

import signal
from collections.abc import Sequence

from bqnn.errors import BqnnError, SearchError
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.executors import awake, worker_process
from bqnn.executors.child import Child, ChildDiedError
from bqnn.executors.executor import Ready
from bqnn.executors.guard import failure
from bqnn.executors.lane import Done, Lane, Lost, News, State
from bqnn.executors.worker_process import Report, Settings

# How often in a row a worker may fail to start: by itself, and because it was killed.
# The second is more, since what kills workers may go on for a while.
_MAX_FAILED, _MAX_KILLED = 3, 30

# Signals that others send; a process that fails by itself dies of another.
_KILLS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSTOP)

# Seconds that a worker may be stopped while it starts, for which there is no time-out.
_LONGEST_STOP = 30.0


class ProcessLane(Lane):
    """A process of its own, so that it has devices and a memory of its own.

    Attributes:
      settings: of its process; a change counts for the next one.
      child: the process.
    """

    child: Child

    def __init__(self, name: str, settings: Settings, ahead: int) -> None:
        """Start a process, which loads the data; the rest as of `Lane`."""
        super().__init__(name, self._begin_in_child, ahead)
        self.settings = settings
        self._failed = self._killed = 0
        self._progress_file: str | None = None
        self._compiles = False
        self._stopped_since: float | None = None
        self._start()

    def make_ready(self, progress_file: str | None = None) -> None:
        """Have the process compile, or load, what candidates are made of."""
        self._progress_file, self._compiles = progress_file, True
        self.child.call(worker_process.make_ready, progress_file)

    def poll(self) -> News | None:
        """Take the next news of the process.

        Raises:
          BqnnError: as the process raises it.
        """
        if not self.child.has_answer():
            return self._stuck()
        try:
            answer = self.child.answer()
        except BqnnError:
            raise
        except ChildDiedError as error:
            return Lost(Evaluation(Status.WORKER_LOST, error=str(error)), error)
        except Exception as error:
            return Lost(failure(error), error)
        if isinstance(answer, Report):
            return Done(answer.evaluation, self._is_worn(answer))
        if isinstance(answer, Ready):
            self._failed = self._killed = 0
            return answer
        return None

    def restart(self, error: BaseException | None = None) -> None:
        """Kill the process and start another one.

        Args:
          error: why, if the process itself was the cause.

        Raises:
          SearchError: if the process does not start again and again; says what to do.
        """
        if error is not None and self.state is State.STARTING:
            self._count_failed_start(error)
        self.child.kill()
        self._start()
        if self._compiles:
            self.make_ready(self._progress_file)

    def _start(self) -> None:
        self.reset()
        try:
            self.child = Child(self.name)
        except OSError as error:
            raise SearchError(
                f"{self.name} cannot be started: {error}; use fewer --workers, or "
                "raise the limit (ulimit)"
            ) from error
        self._started_with = self.settings
        self.child.call(worker_process.start, self.settings)

    def _begin_in_child(
        self, candidate: Candidate, following: Sequence[Candidate]
    ) -> None:
        self.child.call(worker_process.work, candidate, following)

    def _is_worn(self, report: Report) -> bool:
        """Whether the process must be replaced after its candidate."""
        full = 2 * report.resident > self.settings.memory
        stale = self._started_with != self.settings
        return full or stale or report.evaluation.status == Status.OUT_OF_MEMORY

    def _stuck(self) -> Lost | None:
        """Take a process for lost that was stopped while it starts, and left so."""
        if self.state is not State.STARTING or not self.child.is_stopped():
            self._stopped_since = None
            return None
        now = awake.seconds()
        self._stopped_since = self._stopped_since or now
        if now - self._stopped_since <= _LONGEST_STOP:
            return None
        error = ChildDiedError(self.child.process, -signal.SIGSTOP)
        return Lost(Evaluation(Status.WORKER_LOST, error=str(error)), error)

    def _count_failed_start(self, error: BaseException) -> None:
        if isinstance(error, ChildDiedError) and -error.code in _KILLS:
            self._killed += 1
        else:
            self._failed += 1
        if self._failed == _MAX_FAILED:
            raise SearchError(
                f"{self.name} does not start, {_MAX_FAILED} times in a row: "
                f"{type(error).__name__}: {error}; mend the cause (each may hold "
                f"{self.settings.memory / 1e9:.1f} GB: --worker_memory_gb), or try "
                "--executor=inline, which shows more of it"
            )
        if self._killed == _MAX_KILLED:
            raise SearchError(
                f"{self.name} was killed {_MAX_KILLED} times in a row while it "
                f"started ({error}): find what kills it; for want of memory, use "
                "fewer --workers"
            )

"""One place for a worker process: whoever dies in it is replaced."""

import signal

from bqnn.errors import SearchError
from bqnn.evaluation.records import Candidate
from bqnn.executors import awake, worker_process
from bqnn.executors.child import Child, ChildDiedError
from bqnn.executors.lane import Lane
from bqnn.executors.worker_process import Ready, Settings

# How often in a row a worker may fail to start: by itself, and because it was killed.
# The second is more, since whoever kills workers may go on for a while.
_MAX_FAILED, _MAX_KILLED = 3, 30

_OTHERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSTOP)

# Seconds that a worker may be stopped while it starts, for which there is no time-out.
_LONGEST_STOP = 30.0


class Slot(Lane):
    """A process of its own, so that it has devices and a memory of its own.

    Attributes:
      settings: of its process; a change counts for the next one.
      child: the process.
    """

    child: Child

    def __init__(self, name: str, settings: Settings) -> None:
        """Start a process, which loads the data."""
        super().__init__(name)
        self.settings = settings
        self._failed = self._killed = 0
        self._progress_file: str | None = None
        self._compiles = False
        self._stopped_since: float | None = None
        self._start()

    @property
    def stale(self) -> bool:
        """Whether the process was started with other settings."""
        return self._started_with != self.settings

    def make_ready(self, progress_file: str | None = None) -> None:
        """Have the process compile, or load, what candidates are made of."""
        self._progress_file, self._compiles = progress_file, True
        self.child.call(worker_process.make_ready, progress_file)

    def take_note(self, answer: Ready | None) -> None:
        """Take note of how far the process has started."""
        if answer is not None:
            self._failed = self._killed = 0
            self.open(answer.pipelined)

    def start_again(self, error: Exception) -> None:
        """Replace the process, which did not get ready.

        Raises:
          SearchError: if that happens again and again; says what to do.
        """
        if isinstance(error, ChildDiedError) and -error.code in _OTHERS:
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
        self.replace()

    def is_stuck(self) -> bool:
        """Tell whether somebody stopped the process while it starts, and left it so."""
        if self.opened or not self.child.is_stopped():
            self._stopped_since = None
            return False
        now = awake.seconds()
        self._stopped_since = self._stopped_since or now
        return now - self._stopped_since > _LONGEST_STOP

    def begin(self, candidate: Candidate, following: Candidate | None) -> None:
        """Have the process evaluate `candidate`, and prepare `following`."""
        self.child.call(worker_process.work, candidate, following)

    def replace(self) -> None:
        """Kill the process and start another one."""
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

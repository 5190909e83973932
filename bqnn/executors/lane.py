"""Lanes: the candidates of each worker, and how they are spread over the workers."""

import dataclasses
import enum
import time
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from bqnn import runtime
from bqnn.config import Config
from bqnn.evaluation.recipe import config_for
from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.executors import awake
from bqnn.executors.activity import Activity
from bqnn.executors.executor import Attempt, Options, Ready
from bqnn.executors.guard import timed_out

# What a worker prepares ahead at most, and the host memory that the compilation of a
# candidate takes, in bytes, about.
_MOST_AHEAD, _COMPILATION = 8, 2 * 10**9

# Seconds beyond `budget.timeout` after which a worker is killed that has not ended its
# candidate by itself.
_GRACE = 5.0


class State(enum.Enum):
    """The state of a worker.

    Attributes:
      STARTING: it loads and compiles, and takes no candidates.
      IDLE: it could begin a candidate now.
      BUSY: it evaluates a candidate.
    """

    STARTING = enum.auto()
    IDLE = enum.auto()
    BUSY = enum.auto()


class Done(NamedTuple):
    """A worker has evaluated its candidate.

    Attributes:
      evaluation: of the candidate.
      worn: whether the worker must be replaced.
    """

    evaluation: Evaluation
    worn: bool


class Lost(NamedTuple):
    """A worker is gone, or cannot go on.

    Attributes:
      evaluation: of its candidate, if it had one.
      error: why.
    """

    evaluation: Evaluation
    error: BaseException


News = Ready | Done | Lost


def candidates_ahead(cores: int, memory: int) -> int:
    """Count the candidates that a worker may prepare while it trains one.

    Args:
      cores: of the host, for this worker.
      memory: of the host, for this worker, in bytes.
    """
    return max(1, min(cores, memory // _COMPILATION, _MOST_AHEAD))


class Lane:
    """One worker and its candidates.

    Attributes:
      name: of the worker.
      state: what it is doing.
      device: that the worker trains on; empty while it is starting.
      candidate: what it evaluates while it is busy, None else.
      following: what it evaluates then, in order.
    """

    def __init__(
        self,
        name: str,
        begin: Callable[[Candidate, Sequence[Candidate]], None],
        ahead: int,
    ) -> None:
        """Begin with a worker that is starting.

        Args:
          name: of the worker.
          begin: has it evaluate a candidate, and prepare those that follow; returns at
            once.
          ahead: how many it prepares, if it does.
        """
        self.name, self._begin, self._ahead = name, begin, ahead
        self.reset()

    def reset(self) -> None:
        """Forget all candidates: another worker is starting."""
        self.state, self._capacity = State.STARTING, 0
        self.device = ""
        self.candidate: Candidate | None = None
        self.following: list[Candidate] = []
        self._since, self._begun = time.time(), 0.0

    def open(self, ready: Ready) -> None:
        """Take candidates from now on: if it prepares any, more than one."""
        self.state, self._since = State.IDLE, time.time()
        # One trains, and one more than it prepares waits: then as many are at hand when
        # the next begins.
        self._capacity = 2 + self._ahead if ready.pipelined else 1
        self.device = ready.device
        if ready.host:
            self.name = f"{self.name} on {ready.host}"

    @property
    def free(self) -> int:
        """How many candidates it can take."""
        taken = (self.candidate is not None) + len(self.following)
        return max(0, self._capacity - taken)

    def activity(self) -> Activity:
        """Tell what it is doing."""
        block = str(self.candidate.block) if self.candidate else ""
        opened = self.state is not State.STARTING
        return Activity(self.name, opened, block, self._since)

    def overdue(self, config: Config) -> bool:
        """Tell whether it should have ended its candidate by itself.

        Args:
          config: of the search, which has the time for a candidate.
        """
        if self.state is not State.BUSY or self.candidate is None:
            return False
        limit = config_for(self.candidate, config).budget.timeout
        return awake.seconds() - self._begun > limit + _GRACE

    def take(self, candidate: Candidate) -> None:
        """Begin a candidate, or keep it for later."""
        self.following.append(candidate)
        if self.candidate is None:
            self.go_on()

    def go_on(self) -> None:
        """Begin what follows, if anything does; the last candidate is done."""
        self.state, self.candidate, self._since = State.IDLE, None, time.time()
        if self.following:
            self.state, self.candidate = State.BUSY, self.following.pop(0)
            self._begun = awake.seconds()
            self._begin(self.candidate, tuple(self.following))


L = TypeVar("L", bound=Lane)


class LaneExecutor(Generic[L]):
    """All that executors with several workers have in common.

    They add `start` and `close`, and say how a worker is heard and replaced.
    """

    def __init__(
        self,
        config: Config,
        options: Options,
        poll: Callable[[L], News | None],
        replace: Callable[[L, BaseException | None], None],
    ) -> None:
        """Prepare this process, which leaves the accelerators to the workers.

        Args:
          config: of the search.
          options: of the executor.
          poll: takes the next news of a worker, None if there is none.
          replace: replaces a worker, for an error if there was one.
        """
        runtime.configure_process(config.train.threads, options.cache_dir)
        runtime.use_host_only()
        self._config, self._options = config, options
        self._poll, self._replace = poll, replace
        self._lanes: list[L] = []
        # Candidates that waited behind a worker that is gone.
        self._requeued: list[Candidate] = []

    def free(self) -> int:
        """Count the candidates that workers can take."""
        return max(0, sum(lane.free for lane in self._lanes) - len(self._requeued))

    def submit(self, candidate: Candidate) -> None:
        """Give a candidate to the worker with the least to do."""
        max(self._lanes, key=lambda lane: lane.free).take(candidate)

    def collect(self) -> list[Attempt]:
        """Collect the attempts that have ended, and give idle workers candidates.

        Raises:
          BqnnError: as a worker raises it.
        """
        ended = [self._advance(lane) for lane in list(self._lanes)]
        self._spread()
        return [attempt for attempt in ended if attempt]

    def devices(self) -> frozenset[str]:
        """List the devices of the workers that are ready."""
        return frozenset(lane.device for lane in self._lanes if lane.device)

    def activities(self) -> list[Activity]:
        """List what the workers are doing."""
        return [lane.activity() for lane in self._lanes]

    def _advance(self, lane: L) -> Attempt | None:
        """Take the news of a worker: an attempt, if one has ended."""
        news, candidate = self._poll(lane), lane.candidate
        if isinstance(news, Ready):
            lane.open(news)
            return None
        if isinstance(news, Done):
            evaluation = news.evaluation
            if news.worn:
                self._retire(lane)
            else:
                lane.go_on()
        elif isinstance(news, Lost):
            evaluation = news.evaluation
            self._retire(lane, news.error)
        elif candidate is not None and lane.overdue(self._config):
            evaluation = timed_out(config_for(candidate, self._config))
            self._retire(lane)
        else:
            return None
        if candidate is None:
            return None
        return candidate, dataclasses.replace(evaluation, worker=lane.name)

    def _retire(self, lane: L, error: BaseException | None = None) -> None:
        """Replace a worker; what waited behind its candidate goes elsewhere."""
        self._requeued += lane.following
        self._replace(lane, error)

    def _spread(self) -> None:
        """Give idle workers what lost its worker, or waits behind busy ones."""
        for lane in self._lanes:
            if lane.state is not State.IDLE:
                continue
            longest = max(self._lanes, key=lambda other: len(other.following))
            if self._requeued:
                lane.take(self._requeued.pop())
            elif longest.following:
                lane.take(longest.following.pop())

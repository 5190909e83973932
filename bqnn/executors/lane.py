"""What one worker has to do, and how work is spread over several."""

import time
from collections.abc import Sequence

from bqnn.evaluation.records import Candidate
from bqnn.executors import awake
from bqnn.executors.activity import Activity

# Candidates of a worker that prepares the next one: the one that trains, the next one,
# which it is told of when it begins the first, and so one in reserve.
_PIPELINED = 3

# Seconds beyond `budget.timeout` after which a worker is killed that has not ended its
# candidate by itself.
_GRACE = 5.0


class Lane:
    """The candidates of one worker.

    Attributes:
      name: of the worker.
      candidate: what it evaluates; None if nothing.
      following: what it evaluates then, in order.
    """

    def __init__(self, name: str) -> None:
        """Begin with nothing, and no place for anything."""
        self.name = name
        self.candidate: Candidate | None = None
        self.following: list[Candidate] = []
        self._places = 0
        self._since = time.time()
        self._begun = 0.0

    def activity(self) -> Activity:
        """Tell what it is doing."""
        block = str(self.candidate.block) if self.candidate else ""
        return Activity(self.name, self.opened, block, self._since)

    def open(self, pipelined: bool) -> None:
        """Take candidates from now on: more than one to prepare the next."""
        self._places = _PIPELINED if pipelined else 1
        self._since = time.time()

    def reset(self) -> None:
        """Forget everything, and take no candidates."""
        self.candidate, self.following, self._places = None, [], 0
        self._since = time.time()

    @property
    def free(self) -> int:
        """How many candidates it can take."""
        taken = (self.candidate is not None) + len(self.following)
        return max(0, self._places - taken)

    @property
    def opened(self) -> bool:
        """Whether it takes candidates."""
        return self._places > 0

    @property
    def idle(self) -> bool:
        """Whether it could begin a candidate now."""
        return self.candidate is None and self.opened

    def overdue(self, limit: float) -> bool:
        """Tell whether it should have ended its candidate by itself.

        Args:
          limit: seconds for a candidate.
        """
        return awake.seconds() - self._begun > limit + _GRACE

    def take(self, candidate: Candidate) -> None:
        """Begin a candidate, or keep it for later."""
        if self.candidate is None:
            self._begin(candidate, None)
        else:
            self.following.append(candidate)

    def go_on(self) -> None:
        """Begin what follows, if anything does; the last candidate is done."""
        self.candidate, self._since = None, time.time()
        if self.following:
            candidate = self.following.pop(0)
            self._begin(candidate, next(iter(self.following), None))

    def _begin(self, candidate: Candidate, following: Candidate | None) -> None:
        self.candidate, self._since = candidate, time.time()
        self._begun = awake.seconds()
        self.begin(candidate, following)

    def begin(self, candidate: Candidate, following: Candidate | None) -> None:
        """Have the worker evaluate `candidate`, and prepare `following`."""
        raise NotImplementedError


def spread(lanes: Sequence[Lane], requeued: list[Candidate]) -> None:
    """Give idle workers what waits behind busy ones, and what lost its worker.

    Args:
      lanes: all workers.
      requeued: candidates that waited behind a worker that is gone; those that find a
        place are taken out of the list.
    """
    for lane in lanes:
        if not lane.idle:
            continue
        longest = max(lanes, key=lambda other: len(other.following))
        if requeued:
            lane.take(requeued.pop())
        elif longest.following:
            lane.take(longest.following.pop())

"""Virtual cluster: an executor with any number of workers on a virtual clock."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist

import numpy as np

from bqnn.data import Dataset
from bqnn.engines.progress import WarmUpProgress
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.executors.activity import Activity
from bqnn.executors.executor import Attempt

SIGMA = 0.8
"""Standard deviation of the logarithm of a training time."""

PREDICTED = 0.9
"""Correlation of that logarithm with what FLOPs predict."""

# The share of attempts that end in each fault.
_FAULTS = {
    Status.WORKER_LOST: 0.01,
    Status.OUT_OF_MEMORY: 0.005,
    Status.TIMED_OUT: 0.005,
    Status.DIVERGED: 0.01,
}


class VirtualCluster:
    """An executor whose workers only let virtual time pass.

    Attributes:
      now: seconds since the start.
      busy: seconds that workers spent on candidates, summed over the workers.
    """

    shares_memory = False

    def __init__(
        self, workers: int, seconds_of: Callable[[Candidate], float], seed: int
    ) -> None:
        """Start at second 0.

        Args:
          workers: number of workers.
          seconds_of: seconds that a candidate takes.
          seed: seed of the faults.
        """
        self.now, self.busy = 0.0, 0.0
        self._workers, self._seconds_of = workers, seconds_of
        self._rng = np.random.default_rng(seed)
        self._running: list[tuple[float, int, Candidate, Status]] = []
        self._count = 0

    def start(self, dataset: Dataset) -> Iterator[WarmUpProgress]:
        """Start nothing: virtual workers are ready."""
        del dataset
        yield from ()

    def free(self) -> int:
        """Count the workers that are idle."""
        return self._workers - len(self._running)

    def submit(self, candidate: Candidate) -> None:
        """Begin a candidate."""
        seconds, status = self._seconds_of(candidate), self._draw()
        if status == Status.WORKER_LOST:
            seconds *= self._rng.uniform()
        self.busy += seconds
        self._count += 1
        entry = (self.now + seconds, self._count, candidate, status)
        heapq.heappush(self._running, entry)

    def collect(self) -> list[Attempt]:
        """Advance the clock until an attempt ends.

        Raises:
          LookupError: if nothing runs.
        """
        if not self._running:
            raise LookupError("no candidate was submitted")
        self.now, _, candidate, status = heapq.heappop(self._running)
        if status != Status.OK:
            return [(candidate, Evaluation(status, error="on purpose"))]
        return [(candidate, Evaluation(status, accuracy=(self._rng.uniform(),)))]

    def utilisation(self) -> float:
        """Share of the time so far that workers had something to do."""
        later = sum(end - self.now for end, *_ in self._running)
        return (self.busy - later) / (self._workers * self.now)

    def devices(self) -> frozenset[str]:
        """Have no device."""
        return frozenset()

    def activities(self) -> list[Activity]:
        """List what the workers that are not idle are doing."""
        running = (candidate for _, _, candidate, _ in self._running)
        return [Activity("virtual", True, str(c.block), 0.0) for c in running]

    def close(self) -> None:
        """Forget what is running."""
        self._running.clear()

    def _draw(self) -> Status:
        drawn = self._rng.uniform()
        for status, share in _FAULTS.items():
            if drawn < share:
                return status
            drawn -= share
        return Status.OK


def heavy_tailed(sample: Sequence[int]) -> Callable[[Candidate], float]:
    """Make training times: log-normal, and correlated with FLOPs.

    Args:
      sample: FLOPs of the networks of random blocks.
    """
    known = np.sort(np.array(sample, float))
    normal = NormalDist()

    def seconds_of(candidate: Candidate) -> float:
        rank = np.searchsorted(known, float(candidate.network_flops))
        predicted = normal.inv_cdf((rank + 0.5) / (len(known) + 1))
        drawn = np.random.default_rng(candidate.seed).standard_normal()
        noise = np.sqrt(1 - PREDICTED**2) * drawn
        return float(np.exp(SIGMA * (PREDICTED * predicted + noise)))

    return seconds_of

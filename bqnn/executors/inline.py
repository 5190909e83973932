"""Evaluates in this process, one candidate after the other."""

import dataclasses
import heapq

from bqnn import runtime
from bqnn.config import Config
from bqnn.executors.executor import run_guarded
from bqnn.records import Candidate, Evaluation


class InlineExecutor:
    """The executor without workers.

    Raises:
      ConfigError: on construction, if jax has started with other than
        `config.train.threads` threads.
    """

    def __init__(self, config: Config) -> None:
        """Settle the number of threads before jax starts."""
        runtime.set_threads(config.train.threads)
        self._config = config
        self._queue: list[tuple[int, tuple[int, int], Candidate]] = []

    def submit(self, candidate: Candidate) -> None:
        """Queue a candidate, the largest first."""
        entry = (-candidate.network_flops, candidate.place, candidate)
        heapq.heappush(self._queue, entry)

    def collect(self) -> tuple[Candidate, Evaluation]:
        """Evaluate the next candidate.

        Raises:
          LookupError: if none is queued.
        """
        candidate = heapq.heappop(self._queue)[2]
        evaluation = run_guarded(candidate, self._config)
        return candidate, dataclasses.replace(evaluation, worker="inline")

    def close(self) -> None:
        """Forget what is queued."""
        self._queue.clear()

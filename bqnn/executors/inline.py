"""Evaluates in this process, one candidate after the other."""

import dataclasses
import heapq
from collections.abc import Callable

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

    def __init__(
        self,
        config: Config,
        interrupted: Callable[[], bool] = lambda: False,
        cache_dir: str | None = None,
    ) -> None:
        """Settle threads and compilation cache before jax starts."""
        runtime.settle(config.train.threads, cache_dir)
        self._config, self._interrupted = config, interrupted
        self._queue: list[tuple[int, tuple[int, int], Candidate]] = []

    def submit(self, candidate: Candidate) -> None:
        """Queue a candidate, the largest first."""
        entry = (-candidate.network_flops, candidate.place, candidate)
        heapq.heappush(self._queue, entry)

    def collect(self) -> tuple[Candidate, Evaluation]:
        """Evaluate the next candidate.

        Raises:
          LookupError: if none is queued.
          KeyboardInterrupt: if interrupted; the candidate is lost, not recorded.
        """
        candidate = heapq.heappop(self._queue)[2]
        evaluation = run_guarded(candidate, self._config, self._interrupted)
        return candidate, dataclasses.replace(evaluation, worker="inline")

    def close(self) -> None:
        """Forget what is queued."""
        self._queue.clear()

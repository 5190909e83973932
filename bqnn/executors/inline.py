"""Inline executor: evaluates in this process, one candidate after the other."""

import dataclasses
import time
from collections.abc import Iterator

from bqnn import runtime
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.engines.progress import WarmUpProgress
from bqnn.evaluation.records import Candidate
from bqnn.executors.activity import Activity
from bqnn.executors.executor import Attempt, CandidateWorker, Options


class InlineExecutor:
    """The executor without workers.

    Raises:
      ConfigError: on construction, if jax has started with other than
        `config.train.threads` threads.
    """

    shares_memory = False

    def __init__(self, config: Config, options: Options) -> None:
        """Set threads and compilation cache before jax starts."""
        train = config.train
        runtime.configure_process(train.threads, options.cache_dir, train.devices)
        self._config, self._interrupted = config, options.interrupted
        self._make_worker = options.make_worker
        self._worker: CandidateWorker | None = None
        self._candidate: Candidate | None = None
        self._since = time.time()

    def start(self, dataset: Dataset) -> Iterator[WarmUpProgress]:
        """Compile what candidates are made of."""
        worker = self._make_worker(self._config, dataset)
        for progress in worker.warm_up():
            if self._interrupted():
                raise KeyboardInterrupt
            yield progress
        self._worker = worker

    def free(self) -> int:
        """Count the candidates that can be taken now: one, or none."""
        return int(self._candidate is None)

    def submit(self, candidate: Candidate) -> None:
        """Take a candidate."""
        self._candidate, self._since = candidate, time.time()

    def collect(self) -> list[Attempt]:
        """Evaluate the candidate.

        Raises:
          LookupError: if there is none.
          KeyboardInterrupt: if interrupted; the candidate is lost, not recorded.
        """
        candidate, self._candidate = self._candidate, None
        if candidate is None or self._worker is None:
            raise LookupError("no candidate was submitted")
        evaluation = self._worker.run(candidate, interrupted=self._interrupted)
        return [(candidate, dataclasses.replace(evaluation, worker="inline"))]

    def devices(self) -> frozenset[str]:
        """Name the device of this process, once it trains."""
        return frozenset([runtime.device()] if self._worker else [])

    def activities(self) -> list[Activity]:
        """Tell what this process is doing."""
        block = str(self._candidate.block) if self._candidate else ""
        return [Activity("inline", self._worker is not None, block, self._since)]

    def close(self) -> None:
        """Forget the candidate."""
        self._candidate = None

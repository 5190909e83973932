"""Actor: one worker on a node of a Ray cluster, in a process of its own."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from bqnn import runtime
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.executors.executor import MakeWorker, Ready
from bqnn.executors.worker_process import limit_memory


class Actor:
    """A worker of a cluster."""

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        cache_dir: str | None,
        memory: int | None,
        accelerated: bool,
        make_worker: MakeWorker,
    ) -> None:
        """Prepare the process.

        Args:
          config: of the search.
          dataset: that candidates learn from.
          cache_dir: where this node keeps compiled programs; nowhere if None.
          memory: bytes that the process may hold; any number if None.
          accelerated: whether it has an accelerator.
          make_worker: makes what evaluates candidates.
        """
        # Ray shows the process its own devices alone. A worker that took all of their
        # memory would leave none for the one that replaces it.
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        if not accelerated:
            os.environ["JAX_PLATFORMS"] = "cpu"
        runtime.configure_process(config.train.threads, cache_dir)
        if memory and not accelerated:
            limit_memory(memory)
        self._config, self._dataset, self._cache_dir = config, dataset, cache_dir
        self._make_worker = make_worker

    def make_ready(self) -> Ready:
        """Compile what candidates are made of, or load what another worker compiled."""
        self._worker = self._make_worker(self._config, self._dataset)
        with _one_per_node(self._cache_dir):
            for _ in self._worker.warm_up():
                pass
        return Ready(self._worker.pipelined, socket.gethostname(), runtime.device())

    def run(self, candidate: Candidate, following: Candidate | None) -> Evaluation:
        """Evaluate a candidate."""
        return self._worker.run(candidate, following)


@contextlib.contextmanager
def _one_per_node(directory: str | None) -> Iterator[None]:
    """Wait until no other worker of this node compiles: one does, the others load."""
    if directory is None:
        yield
        return
    Path(directory).mkdir(parents=True, exist_ok=True)
    with open(Path(directory) / "compiling.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

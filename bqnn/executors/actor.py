"""Actor: one worker on a node of a Ray cluster, in a process of its own."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from bqnn import machine, own_layers, runtime
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
        accelerators: float | None,
        make_worker: MakeWorker,
        layers: bytes,
    ) -> None:
        """Prepare the process.

        Args:
          config: of the search.
          dataset: that candidates learn from.
          cache_dir: where this node keeps compiled programs; nowhere if None.
          memory: bytes that the process may hold; any number if None.
          accelerators: how many it has, or which part of one; None for none.
          make_worker: makes what evaluates candidates.
          layers: of the user's own, as `own_layers.packed` has them.
        """
        # Ray shows the process its own devices alone.
        if accelerators is None:
            os.environ["JAX_PLATFORMS"] = "cpu"
        else:
            os.environ |= machine.gpu_memory(min(1.0, accelerators))
        train = config.train
        runtime.configure_process(train.threads, cache_dir, train.devices)
        if memory and accelerators is None:
            limit_memory(memory)
        self._config, self._dataset, self._cache_dir = config, dataset, cache_dir
        self._make_worker, self._layers = make_worker, layers

    def make_ready(self) -> Ready:
        """Compile what candidates are made of, or load what another worker compiled.

        Raises:
          ConfigError: if a layer of the user's own is not there.
        """
        # An actor that fails in its constructor is taken for lost, and made again.
        own_layers.unpack(self._layers)
        self._worker = self._make_worker(self._config, self._dataset)
        with _one_per_node(self._cache_dir):
            for _ in self._worker.warm_up():
                pass
        return Ready(self._worker.pipelined, socket.gethostname(), runtime.device())

    def run(self, candidate: Candidate, following: Sequence[Candidate]) -> Evaluation:
        """Evaluate a candidate; others follow it."""
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

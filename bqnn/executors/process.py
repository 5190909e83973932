"""Process executor: workers in processes of this machine, one per core or accelerator.

Every worker is a process of its own on the standard library: an environment, a device
and a name, and a death that is heard at once, also while it starts. Pools restart their
processes by rules of their own, and break when one dies at start.
"""

import contextlib
import logging
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bqnn import machine, own_layers
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.engines.progress import WarmUpProgress
from bqnn.errors import ConfigError
from bqnn.evaluation.records import Candidate
from bqnn.executors import worker_process
from bqnn.executors.child import ChildDiedError, wait_for_any
from bqnn.executors.executor import Attempt, Options
from bqnn.executors.lane import LaneExecutor, State, candidates_ahead
from bqnn.executors.process_lane import ProcessLane
from bqnn.executors.worker_process import Settings

# How often a wait looks whether the user has asked to stop, in seconds.
_POLL = 0.2
# Signals that a process dies of when it runs a damaged program.
_CRASHES = {-signal.SIGSEGV, -signal.SIGILL, -signal.SIGBUS}


class ProcessExecutor(LaneExecutor[ProcessLane]):
    """Workers in processes of their own: a fault of one is a fault of its candidate.

    Raises:
      ConfigError: on construction, if jax has started with other than
        `config.train.threads` threads.
    """

    shares_memory = True

    def __init__(self, config: Config, options: Options) -> None:
        """Start no worker yet."""
        super().__init__(config, options, ProcessLane.poll, self._restart)
        self._folder = tempfile.TemporaryDirectory(prefix="bqnn-")
        self._cache_dir = options.cache_dir or self._folder.name

    def start(self, dataset: Dataset) -> Iterator[WarmUpProgress]:
        """Start the workers; the first compiles, and the others wait for that."""
        del dataset  # every worker loads its own
        found = machine.accelerators()
        count = self._count(found)
        for number in range(count):
            settings = self._settings(number, count, found)
            ahead = candidates_ahead(machine.cores() // count, settings.memory)
            self._lanes.append(ProcessLane(f"worker {number}", settings, ahead))
        first, *others = self._lanes
        progress_file = str(Path(self._folder.name) / "progress")
        first.make_ready(progress_file)
        while first.state is State.STARTING:
            if progress := worker_process.read_progress(progress_file):
                yield progress
            self._wait([first])
            self._advance(first)
        for lane in others:
            lane.make_ready()

    def submit(self, candidate: Candidate) -> None:
        """Give a candidate to the worker with the least to do."""
        lane = max(self._lanes, key=lambda lane: lane.free)
        if lane.state is State.IDLE and lane.child.has_answer():
            # The process has died, and not of this candidate.
            self._retire(lane)
            self._requeued.append(candidate)
        else:
            super().submit(candidate)

    def collect(self) -> list[Attempt]:
        """Wait until attempts end or workers become ready.

        Raises:
          LookupError: if no worker has anything to do.
          KeyboardInterrupt: if interrupted.
          BqnnError: as a worker raises it.
        """
        idle = all(lane.state is State.IDLE for lane in self._lanes)
        if idle and not self._requeued:
            raise LookupError("no candidate was submitted")
        self._wait(self._lanes)
        return super().collect()

    def close(self) -> None:
        """Kill the workers."""
        for lane in self._lanes:
            lane.child.kill()
        self._lanes.clear()
        with contextlib.suppress(OSError):
            self._folder.cleanup()

    def _count(self, found: machine.Accelerators) -> int:
        """Count the workers: what the machine has room for, unless the user says.

        Raises:
          ConfigError: if accelerators cannot be divided so.
        """
        train, shared = self._config.train, self._options.per_device
        if not found.devices:
            if shared > 1:
                raise ConfigError(
                    "--workers_per_device: this machine has no accelerator: use "
                    "--workers"
                )
            return self._options.workers or max(1, machine.cores() // train.threads)
        groups = found.devices // train.devices
        count = self._options.workers or groups * shared
        if not groups:
            raise ConfigError(
                f"train.devices is {train.devices}: this machine has {found.devices}"
            )
        if found.platform == "tpu" and (train.devices > 1 or count > groups):
            raise ConfigError(
                "a TPU chip belongs to one process, which has no other: want at most "
                f"{found.devices} workers and train.devices=1, or --executor=inline"
            )
        return count

    def _settings(
        self, number: int, count: int, found: machine.Accelerators
    ) -> Settings:
        """Give worker `number` of `count` its share of the machine."""
        size = self._config.train.devices
        groups = max(1, found.devices // size)
        first = number % groups * size
        memory = self._options.memory or machine.memory() * 9 // (10 * count)
        return Settings(
            config=self._config,
            environment=machine.device_environment(
                found.platform, range(first, first + size), -(-count // groups)
            ),
            cache_dir=self._cache_dir,
            memory=memory,
            # Drivers of accelerators map the whole memory of host and device.
            limited=found.devices == 0,
            make_worker=self._options.make_worker,
            layers=own_layers.packed(),
        )

    def _wait(self, lanes: list[ProcessLane]) -> None:
        wait_for_any([lane.child for lane in lanes], _POLL)
        if self._options.interrupted():
            raise KeyboardInterrupt

    def _restart(self, lane: ProcessLane, error: BaseException | None) -> None:
        if isinstance(error, ChildDiedError) and error.code in _CRASHES:
            self._distrust_cache(lane, error)
        lane.restart(error)

    def _distrust_cache(self, crashed: ProcessLane, error: ChildDiedError) -> None:
        """Go on without the programs of earlier runs: a damaged one crashes workers.

        Workers that are busy are replaced when they have ended their candidate.
        """
        folder = self._folder.name
        if self._cache_dir == folder:
            return
        logging.getLogger(__name__).warning(
            "%s: a compiled program in %s may be damaged, the search goes on without "
            "them; if that helps, delete the directory",
            error,
            self._cache_dir,
        )
        self._cache_dir = folder
        for lane in self._lanes:
            # Emptied, since JAX's variable would go before the folder.
            cleared = {"JAX_COMPILATION_CACHE_DIR": ""}
            lane.settings = lane.settings._replace(
                cache_dir=folder,
                environment={**lane.settings.environment, **cleared},
            )
            if lane is not crashed and lane.state is not State.BUSY:
                self._retire(lane)

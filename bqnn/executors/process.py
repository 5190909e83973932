"""Evaluates in processes of this machine: one per core, or per accelerator."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

from bqnn import machine, runtime
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.errors import BqnnError
from bqnn.executors import worker_process
from bqnn.executors.activity import Activity
from bqnn.executors.executor import Attempt
from bqnn.executors.guard import failure, timed_out
from bqnn.executors.lane import spread
from bqnn.executors.options import Options
from bqnn.executors.slot import Slot, lost
from bqnn.executors.worker_process import Settings
from bqnn.records import Candidate, Evaluation, Status
from bqnn.warmup import Progress

# How often a wait looks whether the user has asked to stop, in seconds.
_POLL = 0.2


class ProcessExecutor:
    """Workers in processes of their own: a fault of one is a fault of its candidate.

    Raises:
      ConfigError: on construction, if jax has started with other than
        `config.train.threads` threads.
    """

    shares_memory = True

    def __init__(self, config: Config, options: Options) -> None:
        """Settle this process, which leaves the accelerators to the workers."""
        runtime.settle(config.train.threads, options.cache_dir)
        runtime.leave_accelerators()
        self._config, self._options = config, options
        self._slots: list[Slot] = []
        # What waited behind a worker that was replaced.
        self._orphans: list[Candidate] = []
        self._folder = tempfile.TemporaryDirectory(prefix="bqnn-")

    def start(self, dataset: Dataset) -> Iterator[Progress]:
        """Start the workers; the first compiles, the others load what it compiled."""
        del dataset  # every worker loads its own
        found = machine.accelerators()
        fit = found.devices or max(1, machine.cores() // self._config.train.threads)
        count = self._options.workers or fit
        self._slots = [
            Slot(f"worker {n}", self._settings(n, count, found)) for n in range(count)
        ]
        first, *others = self._slots
        progress_file = Path(self._folder.name) / "progress"
        first.make_ready(str(progress_file))
        while not first.ready:
            progress = worker_process.read_progress(str(progress_file))
            if progress:
                yield progress
            self._wait(first.future)
            self._advance(first)
        for slot in others:
            slot.make_ready()

    def free(self) -> int:
        """Count the places of the workers that are ready."""
        return max(0, sum(slot.free for slot in self._slots) - len(self._orphans))

    def submit(self, candidate: Candidate) -> None:
        """Give a candidate to the worker with the least to do."""
        max(self._slots, key=lambda slot: slot.free).take(candidate)

    def collect(self) -> list[Attempt]:
        """Wait until attempts end or workers become ready.

        Raises:
          LookupError: if no worker has anything to do.
          KeyboardInterrupt: if interrupted.
          BqnnError: as a worker raises it.
        """
        futures = [slot.future for slot in self._slots if slot.future]
        if not futures:
            raise LookupError("no candidate was submitted")
        self._wait(*futures)
        ended = (self._advance(slot) for slot in self._slots)
        attempts = [attempt for attempt in ended if attempt]
        spread(self._slots, self._orphans)
        return attempts

    def activities(self) -> list[Activity]:
        """List what the workers are doing."""
        return [slot.activity() for slot in self._slots]

    def close(self) -> None:
        """Kill the workers."""
        for slot in self._slots:
            slot.stop()
        self._slots = []
        with contextlib.suppress(OSError):
            self._folder.cleanup()

    def _settings(
        self, number: int, count: int, found: machine.Accelerators
    ) -> Settings:
        """Give worker `number` of `count` its share of the machine."""
        device = number % max(1, found.devices)
        memory = self._options.memory or machine.memory() * 9 // (10 * count)
        return Settings(
            config=self._config,
            environment=machine.device_environment(found.platform, device),
            cache_dir=self._options.cache_dir or self._folder.name,
            memory=memory,
            # Drivers of accelerators map the whole memory of host and device.
            limited=found.devices == 0,
            make_worker=self._options.make_worker,
        )

    def _wait(self, *futures: Future[Any] | None) -> None:
        given = [future for future in futures if future]
        wait(given, timeout=_POLL, return_when=FIRST_COMPLETED)
        if self._options.interrupted():
            raise KeyboardInterrupt

    def _advance(self, slot: Slot) -> Attempt | None:
        """Look at what a worker has finished; replace it if need be."""
        if slot.future is None or not slot.future.done():
            return None
        if slot.candidate is None:
            slot.finish_starting()
            return None
        candidate, error = slot.candidate, slot.future.exception()
        if error is None:
            evaluation, resident = slot.future.result()
        else:
            evaluation, resident = self._evaluation_of(error), 0
        full = 2 * resident > slot.settings.memory
        if error or full or evaluation.status == Status.OUT_OF_MEMORY:
            self._orphans += slot.following
            slot.replace()
        else:
            slot.future = None
            slot.go_on()
        return candidate, dataclasses.replace(evaluation, worker=slot.name)

    def _evaluation_of(self, error: BaseException) -> Evaluation:
        if isinstance(error, BqnnError):
            raise error
        if isinstance(error, TimeoutError):
            return timed_out(self._config)
        return lost(error) or failure(error)

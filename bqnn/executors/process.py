"""Evaluates in processes of this machine: one per core, or per accelerator."""

import contextlib
import dataclasses
import logging
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bqnn import machine, runtime
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.engines.warmup import Progress
from bqnn.errors import BqnnError
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.executors import worker_process
from bqnn.executors.activity import Activity
from bqnn.executors.child import ChildDiedError, wait_for_any
from bqnn.executors.executor import Attempt
from bqnn.executors.guard import failure, timed_out
from bqnn.executors.lane import spread
from bqnn.executors.options import Options
from bqnn.executors.slot import Slot
from bqnn.executors.worker_process import Report, Settings

# How often a wait looks whether the user has asked to stop, in seconds.
_POLL = 0.2
# What a process dies of that runs a damaged program.
_CRASHES = {-signal.SIGSEGV, -signal.SIGILL, -signal.SIGBUS}


class ProcessExecutor:
    """Workers in processes of their own: a fault of one is a fault of its candidate.

    Raises:
      ConfigError: on construction, if jax has started with other than
        `config.train.threads` threads.
    """

    shares_memory = True

    def __init__(self, config: Config, options: Options) -> None:
        """Settle this process, which leaves the accelerators to the workers."""
        runtime.configure_process(config.train.threads, options.cache_dir)
        runtime.use_host_only()
        self._config, self._options = config, options
        self._slots: list[Slot] = []
        # What waited behind a worker that was replaced.
        self._requeued: list[Candidate] = []
        self._folder = tempfile.TemporaryDirectory(prefix="bqnn-")
        self._cache_dir = options.cache_dir or self._folder.name

    def start(self, dataset: Dataset) -> Iterator[Progress]:
        """Start the workers; the first compiles, the others load what it compiled."""
        del dataset  # every worker loads its own
        found = machine.accelerators()
        fit = found.devices or max(1, machine.cores() // self._config.train.threads)
        count = self._options.workers or fit
        for number in range(count):
            settings = self._settings(number, count, found)
            self._slots.append(Slot(f"worker {number}", settings))
        first, *others = self._slots
        progress_file = Path(self._folder.name) / "progress"
        first.make_ready(str(progress_file))
        while not first.opened:
            progress = worker_process.read_progress(str(progress_file))
            if progress:
                yield progress
            self._wait(first)
            self._advance(first)
        for slot in others:
            slot.make_ready()

    def free(self) -> int:
        """Count the places of the workers that are ready."""
        return max(0, sum(slot.free for slot in self._slots) - len(self._requeued))

    def submit(self, candidate: Candidate) -> None:
        """Give a candidate to the worker with the least to do."""
        slot = max(self._slots, key=lambda slot: slot.free)
        if slot.idle and slot.child.has_answer():  # its death: not the candidate's
            slot.replace()
            self._requeued.append(candidate)
        else:
            slot.take(candidate)

    def collect(self) -> list[Attempt]:
        """Wait until attempts end or workers become ready.

        Raises:
          LookupError: if no worker has anything to do.
          KeyboardInterrupt: if interrupted.
          BqnnError: as a worker raises it.
        """
        if all(slot.idle for slot in self._slots) and not self._requeued:
            raise LookupError("no candidate was submitted")
        self._wait(*self._slots)
        ended = (self._advance(slot) for slot in self._slots)
        attempts = [attempt for attempt in ended if attempt]
        spread(self._slots, self._requeued)
        return attempts

    def activities(self) -> list[Activity]:
        """List what the workers are doing."""
        return [slot.activity() for slot in self._slots]

    def close(self) -> None:
        """Kill the workers."""
        for slot in self._slots:
            slot.child.kill()
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
            cache_dir=self._cache_dir,
            memory=memory,
            # Drivers of accelerators map the whole memory of host and device.
            limited=found.devices == 0,
            make_worker=self._options.make_worker,
        )

    def _wait(self, *slots: Slot) -> None:
        wait_for_any([slot.child for slot in slots], _POLL)
        if self._options.interrupted():
            raise KeyboardInterrupt

    def _advance(self, slot: Slot) -> Attempt | None:
        """Look at what a worker has finished; replace it if need be.

        Raises:
          BqnnError: as the worker raises it; `SearchError` if it does not start.
        """
        candidate = slot.candidate
        if slot.child.has_answer():
            try:
                answer = slot.child.answer()
            except BqnnError:
                raise
            except Exception as error:
                return self._replace_dead(slot, error)
            if candidate is None:
                slot.take_note(answer)
                return None
            self._release(slot, answer)
            return _attempt(slot, candidate, answer.evaluation)
        if candidate is not None and slot.overdue(self._config.budget.timeout):
            self._replace(slot)
            return _attempt(slot, candidate, timed_out(self._config))
        if slot.is_stuck():
            slot.start_again(ChildDiedError(slot.child.process, -signal.SIGSTOP))
        return None

    def _release(self, slot: Slot, report: Report) -> None:
        """Let a worker go on, if it may."""
        full = 2 * report.resident > slot.settings.memory
        if full or slot.stale or report.evaluation.status == Status.OUT_OF_MEMORY:
            self._replace(slot)
        else:
            slot.go_on()

    def _replace_dead(self, slot: Slot, error: Exception) -> Attempt | None:
        """Replace a worker that died or failed; its candidate was lost with it."""
        if isinstance(error, ChildDiedError):
            evaluation = Evaluation(Status.WORKER_LOST, error=str(error))
            if error.code in _CRASHES:
                self._distrust_cache(slot, error)
        else:
            evaluation = failure(error)
        if not slot.opened:
            slot.start_again(error)
            return None
        candidate = slot.candidate
        self._replace(slot)
        return _attempt(slot, candidate, evaluation) if candidate else None

    def _replace(self, slot: Slot) -> None:
        """Replace a worker; what waited behind its candidate goes elsewhere."""
        self._requeued += slot.following
        slot.replace()

    def _distrust_cache(self, crashed: Slot, error: ChildDiedError) -> None:
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
        for slot in self._slots:
            # JAX's variable would go before the folder.
            slot.settings = slot.settings._replace(
                cache_dir=folder,
                environment={
                    **slot.settings.environment,
                    "JAX_COMPILATION_CACHE_DIR": "",
                },
            )
            if slot is not crashed and slot.candidate is None:
                self._replace(slot)


def _attempt(slot: Slot, candidate: Candidate, evaluation: Evaluation) -> Attempt:
    return candidate, dataclasses.replace(evaluation, worker=slot.name)

"""Workers that go wrong on purpose, for executors that must bear it."""

import dataclasses
import functools
import os
import signal
import time
import types
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np

from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.engines import compilation, walk
from bqnn.evaluation.evaluate import Prepared
from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.executors.executor import MakeWorker
from bqnn.executors.worker import Worker

# Of an epoch of `tests.helpers.searches.TINY`.
STEPS = 17


class FaultyWorker(Worker):
    """Evaluates as any other, except the candidates whose hash says otherwise."""

    def __init__(
        self, faults: Mapping[str, str], config: Config, data: Dataset
    ) -> None:
        """Take `faults`, as `faulty` does."""
        super().__init__(config, data)
        self._faults = faults

    def evaluate(
        self,
        candidate: Candidate,
        config: Config,
        on_step: Callable[[], None],
        ready: "Future[Prepared | Evaluation] | None",
    ) -> Evaluation:
        fault = self.fault_of(candidate)
        if fault == "diverge":
            train = dataclasses.replace(config.train, learning_rate=1e38)
            config = dataclasses.replace(config, train=train)
        elif fault is not None:
            _FAULTS[fault]()
        return super().evaluate(candidate, config, on_step, ready)

    def fault_of(self, candidate: Candidate) -> str | None:
        """Choose what goes wrong with a candidate."""
        return self._faults.get(candidate.hash)


def faulty(faults: Mapping[str, str]) -> MakeWorker:
    """Make workers with `faults` by canonical hash: a name of `_FAULTS`, `diverge`."""
    return functools.partial(FaultyWorker, dict(faults))


class SlowWorker(FaultyWorker):
    """Rests before every step, so that a candidate can be met in the middle of one."""

    def __init__(
        self, rest: float, faults: Mapping[str, str], config: Config, data: Dataset
    ) -> None:
        """Take seconds to rest, and `faults`."""
        super().__init__(faults, config, data)
        self._rest = rest

    def evaluate(
        self,
        candidate: Candidate,
        config: Config,
        on_step: Callable[[], None],
        ready: "Future[Prepared | Evaluation] | None",
    ) -> Evaluation:
        def slow_step() -> None:
            on_step()
            time.sleep(self._rest)

        return super().evaluate(candidate, config, slow_step, ready)


def slow(seconds: float, faults: Mapping[str, str] = {}) -> MakeWorker:
    """Make workers that take `seconds` for a candidate of `TINY`, most of it rest."""
    return functools.partial(SlowWorker, seconds / STEPS, dict(faults))


class AwaitingWorker(SlowWorker):
    """A slow worker that, once told to, waits until enough workers have begun.

    Attributes:
      marks: a directory shared by all workers: a file for each that has begun, and
        `wait` when they shall wait.
    """

    def __init__(
        self, marks: Path, number: int, seconds: float, config: Config, data: Dataset
    ) -> None:
        """Wait for `number` workers, this one among them."""
        super().__init__(seconds / STEPS, {}, config, data)
        self.marks, self._number = marks, number

    def evaluate(
        self,
        candidate: Candidate,
        config: Config,
        on_step: Callable[[], None],
        ready: "Future[Prepared | Evaluation] | None",
    ) -> Evaluation:
        (self.marks / f"pid{os.getpid()}").touch()
        deadline = time.monotonic() + 60
        while (self.marks / "wait").exists() and time.monotonic() < deadline:
            if len(list(self.marks.glob("pid*"))) >= self._number:
                break
            time.sleep(0.05)
        return super().evaluate(candidate, config, on_step, ready)


def awaiting(marks: Path, number: int, seconds: float) -> MakeWorker:
    """Make workers that take `seconds`, and wait for each other once told to."""
    return functools.partial(AwaitingWorker, marks, number, seconds)


class _Dying:
    """Makes a worker, but the first times in a process that dies of it."""

    def __init__(self, marks: Path, times: int, number: int) -> None:
        self.marks, self.times, self.number = marks, times, number

    def __call__(self, config: Config, data: Dataset) -> Worker:
        before = len(list(self.marks.iterdir()))
        if before < self.times:
            (self.marks / str(before)).touch()
            signal.raise_signal(self.number)
        return Worker(config, data)


def dying_at_start(marks: Path, times: int, number: int) -> MakeWorker:
    """Make a worker whose process dies of signal `number` at the first `times` starts.

    Args:
      marks: an empty directory, where deaths are counted.
      times: how often.
      number: of the signal.
    """
    return _Dying(marks, times, number)


class CacheVictim(FaultyWorker):
    """Dies of SIGSEGV as long as it has the programs of earlier runs."""

    def __init__(self, cache_dir: str, config: Config, data: Dataset) -> None:
        """Take the directory of the programs that are damaged."""
        super().__init__({}, config, data)
        self._cache_dir = cache_dir

    def fault_of(self, candidate: Candidate) -> str | None:
        used = str(jax.config.values["jax_compilation_cache_dir"])
        return "crash" if used.startswith(self._cache_dir) else None


def victims_of(cache_dir: str) -> MakeWorker:
    """Make workers that die while they have the programs in `cache_dir`."""
    return functools.partial(CacheVictim, cache_dir)


class AheadWorker(Worker):
    """Prepares candidates as beside an accelerator, and compiles them in threads."""

    def __init__(self, threads: int, config: Config, data: Dataset) -> None:
        """Take the number of threads that compile."""
        super().__init__(config, data)
        self._threads = ThreadPoolExecutor(threads)
        compilation._threads = functools.cache(lambda: ThreadPoolExecutor(threads))
        # Nobody else is told so: the kernels are those of the CPU.
        accelerator = types.SimpleNamespace(accelerated=lambda: True)
        walk.runtime = accelerator  # type: ignore

    @property
    def pipelined(self) -> bool:
        return True


def ahead(threads: int) -> MakeWorker:
    """Make workers that prepare candidates ahead, in so many threads."""
    return functools.partial(AheadWorker, threads)


def _raise() -> None:
    raise ValueError("broken on purpose")


def _hang() -> None:
    while True:
        time.sleep(1)


def _allocate() -> None:
    kept = []
    while True:
        kept.append(np.empty(2**24))  # unwritten, or it takes seconds


def _die() -> None:
    os.abort()


def _crash() -> None:
    signal.raise_signal(signal.SIGSEGV)


_FAULTS = {
    "raise": _raise,
    "hang": _hang,
    "allocate": _allocate,
    "die": _die,
    "crash": _crash,
}

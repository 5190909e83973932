"""Worker process: the functions that a process of `ProcessExecutor` runs, in order."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bqnn import own_layers, runtime
from bqnn.config import Config
from bqnn.data import Dataset, load
from bqnn.engines.progress import WarmUpProgress
from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.executors.executor import CandidateWorker, MakeWorker, Ready


class Settings(NamedTuple):
    """The settings of a worker process.

    Attributes:
      config: of the search.
      environment: variables to set before jax starts.
      cache_dir: where compiled programs are kept.
      memory: bytes it may hold.
      limited: whether allocations fail beyond them, where the system can do that.
      make_worker: makes what evaluates candidates.
      layers: of the user's own, as `own_layers.packed` has them.
    """

    config: Config
    environment: Mapping[str, str]
    cache_dir: str
    memory: int
    limited: bool
    make_worker: MakeWorker
    layers: bytes


class Report(NamedTuple):
    """An evaluation, and the memory that its worker then holds.

    Attributes:
      evaluation: of the candidate.
      resident: memory of the process, in bytes; 0 if unknown.
    """

    evaluation: Evaluation
    resident: int


# Settings, data and worker of this process: a call from outside brings none of them.
_state: dict[str, Any] = {}


def start(settings: Settings) -> None:
    """Prepare the process, and load the data.

    Raises:
      BqnnError: if that cannot be done; no worker could.
    """
    os.environ.update(settings.environment)
    train = settings.config.train
    runtime.configure_process(train.threads, settings.cache_dir, train.devices)
    if settings.limited:
        limit_memory(settings.memory)
    own_layers.unpack(settings.layers)
    import bqnn.executors.worker  # noqa: F401, slow: all workers do so at once

    _state["settings"], _state["dataset"] = settings, load(settings.config.data)


def make_ready(progress_file: str | None) -> Ready:
    """Compile what candidates are made of, where it is not on disk.

    Args:
      progress_file: where to write how far it is, if anywhere.
    """
    settings: Settings = _state["settings"]
    dataset: Dataset = _state["dataset"]
    worker = _state["worker"] = settings.make_worker(settings.config, dataset)
    for progress in worker.warm_up():
        if progress_file:
            Path(progress_file).write_text(f"{progress.done} {progress.total}")
    return Ready(worker.pipelined, device=runtime.device())


def work(candidate: Candidate, following: Sequence[Candidate]) -> Report:
    """Evaluate a candidate; others follow it.

    Raises:
      BqnnError: as `bqnn.executors.guard.run_guarded` raises it.
    """
    worker: CandidateWorker = _state["worker"]
    return Report(worker.run(candidate, following), resident_memory())


def read_progress(progress_file: str) -> WarmUpProgress | None:
    """Read how far a worker is with `make_ready`; None if it is not known."""
    with contextlib.suppress(OSError, ValueError):
        done, total = Path(progress_file).read_text().split()
        return WarmUpProgress(int(done), int(total))
    return None


def resident_memory() -> int:
    """Measure the memory that this process holds, in bytes; 0 where that is unknown."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def limit_memory(limit: int) -> None:
    """Have allocations fail beyond `limit` bytes, rather than the whole machine."""
    import resource

    # RLIMIT_DATA, not RLIMIT_AS: XLA maps much address space that it never touches.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

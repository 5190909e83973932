"""Throughput: candidates per hour of whole searches, by number of workers.

`python -m benchmarks.throughput WORKERS CACHE_DIR CONFIG` runs one search and prints a
JSON object; so is CONFIG. `measure` runs it for several numbers of workers, each in its
own process.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bqnn import machine, runtime
from bqnn.config import (
    AgentConfig,
    Config,
    DataConfig,
    NetworkConfig,
    SearchConfig,
    SpaceConfig,
    TrainConfig,
    dictionary,
)
from bqnn.data import Dataset, load
from bqnn.errors import BqnnError
from bqnn.evaluation.records import Status
from bqnn.executors.executor import Options
from bqnn.executors.process import ProcessExecutor
from bqnn.executors.worker import Worker
from bqnn.search import journal
from bqnn.search.events import Evaluated
from bqnn.search.history import Run
from bqnn.search.master import search
from bqnn.search.problem import make_problem

CONFIG = Config(
    data=DataConfig("digits", validation=0.2),
    space=SpaceConfig(6),
    agent=AgentConfig(schedule="1.0:6", exploration="types"),
    search=SearchConfig(batch=8, lag=2),
    network=NetworkConfig("small", (8, 16, 32), repeats=1),
    train=TrainConfig(epochs=12, batch=64, restarts=0),
)
"""The quickstart's blocks, drawn at random and trained six times as long."""


class Throughput(NamedTuple):
    """Result of one search.

    Attributes:
      workers: processes that trained; on a CPU, a single one is pinned to one core.
      candidates: candidates that they trained.
      seconds: from the first batch asked to the last told, with all workers ready.
      first: seconds before the first candidate to end was trained, the start of the
        workers included.
    """

    workers: int
    candidates: int
    seconds: float
    first: float

    @property
    def per_hour(self) -> float:
        """Candidates per hour."""
        return 3600 * self.candidates / self.seconds


def measure(
    counts: Sequence[int],
    cache_dir: str,
    on_search: Callable[[], None] = lambda: None,
    config: Config = CONFIG,
) -> Iterator[Throughput]:
    """Search once with each number of workers.

    Args:
      counts: numbers of workers.
      cache_dir: directory of compiled programs.
      on_search: called after each search.
      config: of the searches.

    Raises:
      BqnnError: if one of the processes fails.
    """
    form = json.dumps(dictionary.to_dict(config))
    for count in counts:
        command = [sys.executable, "-m", __name__, str(count), cache_dir, form]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise BqnnError(
                f"the search with {count} workers ended with status {done.returncode}"
            )
        yield Throughput(**json.loads(done.stdout))
        on_search()


class PinnedWorker(Worker):
    """A worker whose process runs on one core."""

    def __init__(self, config: Config, dataset: Dataset) -> None:
        """Pin all threads of the process."""
        super().__init__(config, dataset)
        machine.pin()


def run_search(workers: int, cache_dir: str, config: Config) -> Throughput:
    """Search once in this process, with so many workers."""
    began = time.monotonic()
    pinned = workers == 1 and not machine.accelerators().devices
    make_worker = PinnedWorker if pinned else Worker
    options = Options(cache_dir=cache_dir, workers=workers, make_worker=make_worker)
    executor, dataset = ProcessExecutor(config, options), load(config.data)
    versions = runtime.versions()
    run = Run(config, dataset.spec, dataset.fingerprint(), versions)
    problem = make_problem(config, dataset.spec)
    try:
        for _ in executor.start(dataset):
            pass
        while executor.free() < workers:
            executor.collect()
        with (
            tempfile.TemporaryDirectory() as folder,
            journal.create_or_open(Path(folder)) as facts,
        ):
            facts.start(run)
            start = time.monotonic()
            ended = [
                (event.evaluation, time.monotonic())
                for event in search(problem, facts, executor)
                if isinstance(event, Evaluated)
            ]
            seconds = time.monotonic() - start
    finally:
        executor.close()
    trained = [(e, when) for e, when in ended if e.status == Status.OK]
    if not trained:
        raise BqnnError(f"no candidate was trained: {ended[0][0].error}")
    (evaluation, when), *_ = trained
    own = evaluation.seconds["train"] + evaluation.seconds["evaluate"]
    return Throughput(workers, len(trained), seconds, when - began - own)


def main(workers: str, cache_dir: str, form: str) -> None:
    """Search once, and print the result."""
    config = dictionary.from_dict(json.loads(form), Config)
    print(json.dumps(run_search(int(workers), cache_dir, config)._asdict()))


if __name__ == "__main__":
    # Worker processes find `PinnedWorker` in the module, not in `__main__`.
    from benchmarks import throughput

    throughput.main(*sys.argv[1:])

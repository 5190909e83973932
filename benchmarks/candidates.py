"""Candidates end to end: every contender in processes of its own, turn by turn."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks.contenders import Timing
from benchmarks.setting import Setting
from bqnn.errors import BqnnError
from bqnn.networks.cost import network_cost
from bqnn.space.nsc import Block

BASELINE = "walked"


class Row(NamedTuple):
    """One contender on one setting; medians over the blocks, but for `per_hour`.

    Attributes:
      setting: its name.
      workers: processes at work at once, each with one thread and a core of its own if
        there are several.
      contender: its name.
      blocks: how many candidates each worker trained.
      per_hour: candidates per hour over all blocks, all workers together.
      speedup: how many times longer it took than `BASELINE` for the same block.
      fixed: seconds before the first optimiser step.
      images_per_second: of training, by one worker.
      of_matmul: the part of the rate of large matrix products that its convolutions
        reach, forward and backward, while training.
      peak: memory of one worker at most, in bytes.
    """

    setting: str
    workers: int
    contender: str
    blocks: int
    per_hour: float
    speedup: float
    fixed: float
    images_per_second: float
    of_matmul: float
    peak: int


class _Sample(NamedTuple):
    """One block trained by all workers of one contender at once."""

    seconds: float
    timing: Timing
    peak: int


class Worker:
    """A process that answers jobs; a context manager."""

    def __init__(self, contender: str, setting: str, core: str = "any") -> None:
        """Start the process."""
        self._name = contender
        command = [sys.executable, "-m", "benchmarks.worker", contender, setting, core]
        # A process that takes the whole accelerator leaves nothing for its rivals.
        env = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env=env
        )

    def send(self, **job: Any) -> None:
        """Give it a job."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Wait for its answer.

        Raises:
          BqnnError: if the process ended instead.
        """
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise BqnnError(
                f"the benchmark's process for {self._name} ended with status "
                f"{self._process.wait()}: see its message above"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, **job: Any) -> dict[str, Any]:
        """Give it a job and wait for the answer."""
        self.send(**job)
        return self.receive()

    def __enter__(self) -> "Worker":
        """Return the worker."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.terminate()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


def measure(
    setting: Setting,
    contenders: Sequence[str],
    blocks: Sequence[Block],
    workers: int,
    on_job: Callable[[], None] = lambda: None,
) -> Iterator[Row]:
    """Train every block with every contender in turn: A B C, A B C, ...

    What a contender does once for all candidates (imports, warm-up) is not counted.

    Args:
      setting: shapes and recipe.
      contenders: their names; `BASELINE` among them.
      blocks: what to train.
      workers: processes of each contender, at work at the same time.
      on_job: called after every block of a contender, and after its warm-up.

    Yields:
      A row per contender.
    """
    teams = {
        name: [
            Worker(name, setting.name, str(at) if workers > 1 else "any")
            for at in range(workers)
        ]
        for name in contenders
    }
    samples: dict[str, list[_Sample]] = {name: [] for name in contenders}
    try:
        for team in teams.values():
            _together(team, warm=True)
            on_job()
        rate = teams[BASELINE][0].ask(rate=True)["rate"]
        for at, block in enumerate(blocks):
            for name, team in teams.items():
                samples[name].append(_sample(team, block, at))
                on_job()
    finally:
        for worker in (worker for team in teams.values() for worker in team):
            worker.__exit__()
    base = samples[BASELINE]
    for name in contenders:
        yield _row(setting, name, workers, blocks, samples[name], base, rate)


def _together(team: list[Worker], **job: Any) -> list[dict[str, Any]]:
    for at, worker in enumerate(team):
        worker.send(**job, seed=at)
    return [worker.receive() for worker in team]


def _sample(team: list[Worker], block: Block, seed: int) -> _Sample:
    start = time.perf_counter()
    answers = _together(team, block=str(block))
    seconds = (time.perf_counter() - start) / len(team)
    timings = [Timing(*(a[field] for field in Timing._fields)) for a in answers]
    mean = Timing(*(statistics.fmean(values) for values in zip(*timings, strict=True)))
    return _Sample(seconds, mean, max(a["memory"]["peak"] for a in answers))


def _row(
    setting: Setting,
    contender: str,
    workers: int,
    blocks: Sequence[Block],
    samples: list[_Sample],
    base: list[_Sample],
    rate: float,
) -> Row:
    images = setting.steps * setting.train.batch
    reached = []
    for block, sample in zip(blocks, samples, strict=True):
        # A multiply-add is two operations; backward does twice the work of forward.
        flops = 2 * 3 * network_cost(setting.plan(block)).flops
        reached.append(flops * images / sample.timing.train / rate)
    ratios = [s.seconds / b.seconds for s, b in zip(samples, base, strict=True)]
    return Row(
        setting=setting.name,
        workers=workers,
        contender=contender,
        blocks=len(blocks),
        per_hour=3600 / statistics.fmean(s.seconds for s in samples),
        speedup=statistics.median(ratios),
        fixed=statistics.median(s.timing.fixed for s in samples),
        images_per_second=statistics.median(images / s.timing.train for s in samples),
        of_matmul=statistics.median(reached),
        peak=max(sample.peak for sample in samples),
    )

"""Full training: images per second of ours and PyTorch's, turn by turn."""

import contextlib
import importlib.util
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.contender_process import ContenderProcess
from benchmarks.setting import BenchSetting
from bqnn import stats
from bqnn.space.nsc import Block

OURS = "ours"
EAGER = "PyTorch"
COMPILED = "torch.compile"


def available(accelerated: bool, compiled: bool) -> tuple[str, ...]:
    """List the contenders that can be measured here.

    Args:
      accelerated: whether bqnn computes on an accelerator.
      compiled: whether to list `torch.compile`, which needs a compiler of C++.
    """
    if accelerated or importlib.util.find_spec("torch") is None:
        return (OURS,)
    return (OURS, EAGER, COMPILED) if compiled else (OURS, EAGER)


class FinalRow(NamedTuple):
    """One contender on one setting.

    Attributes:
      setting: name of the setting.
      contender: name of the contender.
      threads: CPU threads of its process.
      blocks: networks that it trained.
      images_per_second: median over the blocks.
      ratio: its rate divided by that of `EAGER` for the same block, the mean over the
        blocks; None where that is not measured.
      low, high: ends of its 95 % bootstrap interval over the blocks.
      slowest, fastest: the smallest and the largest ratio of a block.
      first: median of the seconds before the second step: tracing and compilation.
    """

    setting: str
    contender: str
    threads: int
    blocks: int
    images_per_second: float
    ratio: float | None
    low: float | None
    high: float | None
    slowest: float | None
    fastest: float | None
    first: float


class Sample(NamedTuple):
    """One block of one contender.

    Attributes:
      first: seconds before the second step.
      step: seconds of a later step.
    """

    first: float
    step: float


def measure(
    setting: BenchSetting,
    contenders: Sequence[str],
    blocks: Sequence[Block],
    threads: int,
    on_job: Callable[[], None] = lambda: None,
    steps: int = 3,
    rounds: int = 3,
) -> Iterator[FinalRow]:
    """Train every block with every contender, a few steps each in turn: A B A B ...

    Args:
      setting: shapes; the recipe is the paper's full training.
      contenders: the names of the contenders.
      blocks: the blocks to train.
      threads: CPU threads of every contender.
      on_job: called after every block of a contender.
      steps: of a turn.
      rounds: turns of every contender; the median of its turns counts.

    Yields:
      A row per contender.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    module = "benchmarks.final_worker"
    for block in blocks:
        with contextlib.ExitStack() as stack:
            # Processes of one block alone: their memory is that of a whole training.
            team = {
                name: stack.enter_context(
                    ContenderProcess(name, module, setting.name, str(threads))
                )
                for name in contenders
            }
            firsts = {}
            for name, worker in team.items():
                firsts[name] = worker.ask(block=str(block))["seconds"]
                on_job()
            turns: dict[str, list[float]] = {name: [] for name in contenders}
            for _ in range(rounds):
                for name, worker in team.items():
                    turns[name].append(worker.ask(steps=steps)["seconds"] / steps)
        for name in contenders:
            sample = Sample(firsts[name], statistics.median(turns[name]))
            samples[name].append(sample)
    for name in contenders:
        yield summary(setting, name, threads, samples[name], samples.get(EAGER))


def summary(
    setting: BenchSetting,
    contender: str,
    threads: int,
    samples: list[Sample],
    rivals: list[Sample] | None,
) -> FinalRow:
    """Summarise the samples of a contender, and of `EAGER` for the same blocks."""
    ratio = low = high = slowest = fastest = None
    if rivals:
        pairs = zip(samples, rivals, strict=True)
        ratios = np.array([rival.step / sample.step for sample, rival in pairs])
        mean = stats.mean(ratios)
        ratio, low, high = (float(x) for x in (mean.value, *mean.interval))
        slowest, fastest = float(ratios.min()), float(ratios.max())
    batch = setting.train.batch
    return FinalRow(
        setting=setting.name,
        contender=contender,
        threads=threads,
        blocks=len(samples),
        images_per_second=statistics.median(batch / s.step for s in samples),
        ratio=ratio,
        low=low,
        high=high,
        slowest=slowest,
        fastest=fastest,
        first=statistics.median(s.first for s in samples),
    )

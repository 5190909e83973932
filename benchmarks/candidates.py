"""Candidates end to end: every contender in its own processes, in turn."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.contender_process import ContenderProcess
from benchmarks.contenders import ALL_CORES, Timing
from benchmarks.setting import BenchSetting
from bqnn import stats
from bqnn.networks.cost import network_cost
from bqnn.space.nsc import Block

BASELINE = "walked"

WORKER = "benchmarks.worker"
"""The module of their processes."""


class CandidateRow(NamedTuple):
    """One contender on one setting; times and rates are medians over the blocks.

    Attributes:
      setting: name of the setting.
      workers: processes at work at once; several get a core each. Each has one thread,
        but for `ALL_CORES`.
      contender: name of the contender.
      blocks: candidates that each worker trained.
      per_hour: candidates per hour, the mean over all blocks, all workers together.
      speedup: median of its time divided by that of `BASELINE` for the same block.
      low, high: ends of the 95 % bootstrap interval of the mean of that ratio.
      fixed: seconds before the first optimiser step.
      images_per_second: images that one worker trains on per second.
      of_matmul: rate of the convolutions while training, forward and backward, as a
        fraction of the rate of large matrix products with as many threads.
      peak: the largest memory of one worker, in bytes.
    """

    setting: str
    workers: int
    contender: str
    blocks: int
    per_hour: float
    speedup: float
    low: float
    high: float
    fixed: float
    images_per_second: float
    of_matmul: float
    peak: int


class _Sample(NamedTuple):
    """One block trained by all workers of one contender at once."""

    seconds: float
    timing: Timing
    peak: int


def measure(
    setting: BenchSetting,
    contenders: Sequence[str],
    blocks: Sequence[Block],
    workers: int,
    on_job: Callable[[], None] = lambda: None,
) -> Iterator[CandidateRow]:
    """Train every block with every contender in turn: A B C, A B C, ...

    Work that a contender does once for all candidates (imports, warm-up) is not timed.

    Args:
      setting: shapes and recipe.
      contenders: the names of the contenders, with `BASELINE`.
      blocks: the blocks to train.
      workers: processes of each contender, at work at the same time.
      on_job: called after every block of a contender, and after its warm-up.

    Yields:
      A row per contender.
    """
    cores = [str(i) if workers > 1 else "any" for i in range(workers)]
    samples: dict[str, list[_Sample]] = {name: [] for name in contenders}
    with contextlib.ExitStack() as stack:
        teams = {
            name: [
                stack.enter_context(ContenderProcess(name, WORKER, setting.name, core))
                for core in cores
            ]
            for name in contenders
        }
        for team in teams.values():
            _together(team, warm=True)
            on_job()
        rates = {
            name: teams[name][0].ask(rate=True)["rate"]
            for name in (BASELINE, ALL_CORES)
            if name in teams
        }
        for block in blocks:
            for name, team in teams.items():
                samples[name].append(_sample(team, block))
                on_job()
    base = samples[BASELINE]
    for name in contenders:
        rate = rates.get(name, rates[BASELINE])
        yield _row(setting, name, workers, blocks, samples[name], base, rate)


def _together(team: list[ContenderProcess], **job: Any) -> list[dict[str, Any]]:
    for seed, worker in enumerate(team):
        worker.send(**job, seed=seed)
    return [worker.receive() for worker in team]


def _sample(team: list[ContenderProcess], block: Block) -> _Sample:
    start = time.perf_counter()
    answers = _together(team, block=str(block))
    seconds = (time.perf_counter() - start) / len(team)
    timings = [Timing(*(a[field] for field in Timing._fields)) for a in answers]
    mean = Timing(*(statistics.fmean(values) for values in zip(*timings, strict=True)))
    return _Sample(seconds, mean, max(a["memory"]["peak"] for a in answers))


def _row(
    setting: BenchSetting,
    contender: str,
    workers: int,
    blocks: Sequence[Block],
    samples: list[_Sample],
    base: list[_Sample],
    rate: float,
) -> CandidateRow:
    images = setting.steps * setting.train.batch
    reached = []
    for block, sample in zip(blocks, samples, strict=True):
        # A multiply-add is two operations; backward does twice the work of forward.
        flops = 2 * 3 * network_cost(setting.plan(block)).flops
        reached.append(flops * images / sample.timing.train / rate)
    ratios = [s.seconds / b.seconds for s, b in zip(samples, base, strict=True)]
    interval = stats.mean(np.array(ratios)).interval
    return CandidateRow(
        setting=setting.name,
        workers=workers,
        contender=contender,
        blocks=len(blocks),
        per_hour=3600 / statistics.fmean(s.seconds for s in samples),
        speedup=statistics.median(ratios),
        low=float(interval.low),
        high=float(interval.high),
        fixed=statistics.median(s.timing.fixed for s in samples),
        images_per_second=statistics.median(images / s.timing.train for s in samples),
        of_matmul=statistics.median(reached),
        peak=max(sample.peak for sample in samples),
    )

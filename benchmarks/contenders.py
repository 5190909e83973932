"""Contenders: the ways to train a candidate that are compared."""

import collections
import dataclasses
import functools
import importlib.util
import os
import time
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.setting import BLOCKS, MAX_LAYERS, BenchSetting
from bqnn import machine, runtime
from bqnn.config import Config, SpaceConfig
from bqnn.data import Dataset
from bqnn.engines import warmup
from bqnn.space.nsc import Block


class Timing(NamedTuple):
    """Seconds that a candidate took.

    Attributes:
      total: from its plan to its accuracy.
      fixed: the part before the first optimiser step.
      train: the part of the training.
    """

    total: float
    fixed: float
    train: float


SLOW = ("whole jit", "scan", "plain Flax")
"""Contenders that compile every candidate, for seconds."""

Contender = Callable[[BenchSetting, Dataset, Block, int], Timing]


def _with_engine(
    name: str, setting: BenchSetting, dataset: Dataset, block: Block, seed: int
) -> Timing:
    from benchmarks.plain import PlainEngine
    from bqnn.engines.registry import ENGINES
    from bqnn.evaluation.fit import fit

    make = {**ENGINES, "plain": PlainEngine}[name]
    start = time.perf_counter()
    engine = make(setting.plan(block), setting.train, dataset)
    seconds = fit(engine, engine.init(seed), setting.train, dataset, seed).seconds
    return _timing(time.perf_counter() - start, seconds)


def _with_torch(
    setting: BenchSetting, dataset: Dataset, block: Block, seed: int
) -> Timing:
    from benchmarks.torch_fit import train_steps

    start = time.perf_counter()
    plan = setting.plan(block)
    seconds = train_steps(plan, setting.train, dataset, seed, setting.steps).seconds
    return _timing(time.perf_counter() - start, seconds)


def _timing(total: float, seconds: dict[str, float]) -> Timing:
    after = seconds["train"] + seconds["evaluate"]
    return Timing(total, total - after, seconds["train"])


ALL_CORES = "walked, all cores"
"""Walked by one process with a thread per core; all others have one thread."""

CONTENDERS: dict[str, Contender] = {
    "walked": functools.partial(_with_engine, "walk"),
    ALL_CORES: functools.partial(_with_engine, "walk"),
    "whole jit": functools.partial(_with_engine, "step"),
    "scan": functools.partial(_with_engine, "scan"),
    "plain Flax": functools.partial(_with_engine, "plain"),
    "PyTorch": _with_torch,
}
"""Contenders by name, as the table shows it."""


def available(accelerated: bool, workers: int) -> tuple[str, ...]:
    """List the contenders that can be measured here.

    PyTorch is optional, and measured on the CPU only, as is `ALL_CORES`, by one worker.
    `scan` is measured on accelerators only.
    """
    has_torch = importlib.util.find_spec("torch") is not None
    skipped = {"PyTorch", ALL_CORES} if accelerated else {"scan"}
    if not has_torch:
        skipped.add("PyTorch")
    if workers > 1:
        skipped.add(ALL_CORES)
    return tuple(name for name in CONTENDERS if name not in skipped)


def warm_up(contender: str, setting: BenchSetting, dataset: Dataset) -> None:
    """Do the work that a contender does once for all candidates of a process."""
    if contender in ("walked", ALL_CORES):
        train = dataclasses.replace(setting.train, engine="walk")
        space = SpaceConfig(MAX_LAYERS)
        config = Config(space=space, network=setting.network, train=train)
        collections.deque(warmup.warm_up(config, dataset), maxlen=0)
    else:
        CONTENDERS[contender](setting, dataset, BLOCKS[0], 0)


def prepare_process(contender: str, threads: int) -> None:
    """Configure a process before it imports jax.

    Our engines get the settings of the launchers. The rivals run as they are, with the
    same number of threads.
    """
    if contender == ALL_CORES:
        threads = machine.cores()
    if contender in ("plain Flax", "PyTorch"):
        os.environ["NPROC"] = str(threads)
    else:
        runtime.configure_process(threads, runtime.default_cache_dir())

"""Evaluate: candidate in, evaluation out, as a compute node does (the paper)."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from bqnn import numerics, runtime
from bqnn.config import Config, DataConfig
from bqnn.data import Dataset, load
from bqnn.engines.engine import Engine
from bqnn.engines.registry import ENGINES, engine_name
from bqnn.evaluation.fit import fit
from bqnn.evaluation.recipe import config_for, over_budget, repeat_seed
from bqnn.evaluation.records import Candidate, Evaluation, Status, repeated
from bqnn.networks.plan import plan


class Prepared(NamedTuple):
    """A candidate that can be trained at once.

    Attributes:
      engine: trains it.
      state: the engine's first state, to be used once.
    """

    engine: Engine
    state: Any

    @property
    def seconds(self) -> float:
        """Wall time that the engine took so far: before training, for preparation."""
        return sum(self.engine.clock.seconds.values())


def evaluate(
    candidate: Candidate, config: Config, on_step: Callable[[], None] = lambda: None
) -> Evaluation:
    """Build, train and measure a candidate; a pure function of its two arguments.

    Pure on one kind of machine: the same arguments give the same accuracies to the last
    bit, in any process. So it configures the process if jax has not started, and else
    insists on `config.train.threads` threads.

    Args:
      candidate: the block, and the seed of its training.
      config: of the whole search.
      on_step: called before every training step; may raise to end the evaluation.

    Returns:
      An evaluation whose status is `ok`, `stopped`, `over_budget` or `diverged`.

    Raises:
      ConfigError: if jax has started with another number of threads.
    """
    config = config_for(candidate, config)
    runtime.configure_process(config.train.threads, devices=config.train.devices)
    dataset = _load_on_device(config.data)
    prepared = prepare(candidate, config, dataset)
    if isinstance(prepared, Evaluation):
        return prepared
    return train_prepared(prepared, candidate, config, dataset, on_step)


@numerics.pinned()
def prepare(
    candidate: Candidate, config: Config, dataset: Dataset
) -> Prepared | Evaluation:
    """Build network, state and programs; the first half of `evaluate`.

    Args:
      candidate: the block, and the seed of its training.
      config: of the whole search.
      dataset: as `on_device` returns it.

    Returns:
      The candidate ready to train, or an evaluation if it is over the budget.
    """
    block, latency = candidate.block, candidate.latency
    if excess := over_budget(block, latency, config, dataset.spec):
        return Evaluation(Status.OVER_BUDGET, error=excess)
    network = plan(block, config.network, dataset.spec)
    recipe = config.train
    name = engine_name(recipe, config.network, len(dataset.train.labels))
    engine = ENGINES[name](network, recipe, dataset)
    return Prepared(engine, engine.init(candidate.seed))


@numerics.pinned()
def train_prepared(
    prepared: Prepared,
    candidate: Candidate,
    config: Config,
    dataset: Dataset,
    on_step: Callable[[], None],
) -> Evaluation:
    """Train and measure what `prepare` made; the second half of `evaluate`."""
    seed, rungs = candidate.seed, candidate.rungs
    result = fit(*prepared, config.train, dataset, seed, on_step, rungs)
    ended = Status.OK if len(result.accuracy) == config.train.epochs else Status.STOPPED
    repeats: tuple[float, ...] = ()
    if ended == Status.OK and repeated(candidate, result.accuracy):
        numbers = range(1, config.train.repeats)
        seeds = (repeat_seed(seed, number) for number in numbers)
        engine = prepared.engine
        repeats = tuple(_repeat(engine, config, dataset, s, on_step) for s in seeds)
    return Evaluation(
        status=ended if result.finite else Status.DIVERGED,
        accuracy=result.accuracy,
        restarts=result.restarts,
        seconds=result.seconds,
        device=runtime.device(),
        error="" if result.finite else "the loss is not finite",
        repeats=repeats,
    )


def _repeat(
    engine: Engine,
    config: Config,
    dataset: Dataset,
    seed: int,
    on_step: Callable[[], None],
) -> float:
    """Train again, and return the last accuracy; a random guess's if it diverges."""
    result = fit(engine, engine.init(seed), config.train, dataset, seed, on_step)
    return result.accuracy[-1] if result.finite else 1 / dataset.num_classes


def on_device(dataset: Dataset) -> Dataset:
    """Put the images of a search on the device, for all its candidates."""
    parts = jax.device_put((dataset.train, dataset.validation))
    return dataset._replace(train=parts[0], validation=parts[1])


@functools.lru_cache(maxsize=1)
def _load_on_device(data: DataConfig) -> Dataset:
    return on_device(load(data))

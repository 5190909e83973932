"""Job: what is trained in full, and its data, in memory or streamed from disk."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from bqnn.data import Images, load, load_test
from bqnn.data.resize import resized, resized_images
from bqnn.errors import DataError
from bqnn.final.augment import suited
from bqnn.final.config import FinalConfig, FinalDataConfig
from bqnn.final.feed import Feed, Resident, Streamed, evaluation_batches
from bqnn.final.model import Model
from bqnn.final.recipe import make_optimizer
from bqnn.final.step import Batch, Read, Setup, State, init_state, make_state
from bqnn.networks.network import abstract_variables
from bqnn.networks.plan import ImageSpec, plan
from bqnn.space.nsc import Block


class TrainingRun(NamedTuple):
    """A full training, as `run.json` records it.

    Attributes:
      block: the block.
      config: the configuration.
      images: shape of the images and number of classes.
      class_names: in the order of the labels.
      mean, std: that images are normalised by, in units of pixels, float32 `[C]`.
    """

    block: Block
    config: FinalConfig
    images: ImageSpec
    class_names: tuple[str, ...]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def model(self, variables: Mapping[str, Any]) -> Model:
        """Make a model with trained variables."""
        return Model(
            self.block,
            self.config.network,
            self.images,
            self.class_names,
            self.mean,
            self.std,
            variables,
            self.config.train.dtype,
        )


class Job(NamedTuple):
    """A training with its data open.

    Attributes:
      run: what is trained.
      feed: its batches.
      test: opens the test split and yields its batches, as `Feed.evaluation` does.
    """

    run: TrainingRun
    feed: Feed
    test: Callable[[], Iterator[Batch]]


def open_job(block: Block, config: FinalConfig) -> Job:
    """Open the data that a block learns from.

    Raises:
      DataError: if the data set is missing or malformed.
      ConfigError: if it does not suit the configuration.
    """
    open_data = _streamed if config.data.streaming else _resident
    return open_data(block, config)


def _resident(block: Block, config: FinalConfig) -> Job:
    dataset = load(config.data)
    if config.data.resolution:
        dataset = resized(dataset, config.data.resolution)
    run = TrainingRun(
        block, config, dataset.spec, dataset.class_names, dataset.mean, dataset.std
    )
    feed = Resident(dataset.train, dataset.validation, config.train)

    def test() -> Iterator[Batch]:
        images = test_images(config.data, run)
        return evaluation_batches(images, config.train.step_batch)

    return Job(run, feed, test)


def _streamed(block: Block, config: FinalConfig) -> Job:
    from bqnn.data.stream import MEAN, STD, open_streams  # needs grain

    streams = open_streams(config.data, config.data.resolution, config.data.workers)
    run = TrainingRun(block, config, streams.images, streams.class_names, MEAN, STD)
    feed = Streamed(streams, config.train)
    return Job(run, feed, lambda: feed.evaluation("test"))


def test_images(data: FinalDataConfig, run: TrainingRun) -> Images:
    """Read the test split of the data set that a network was trained on.

    Raises:
      DataError: if there is none, or its images or classes are not the network's.
    """
    found = load_test(data)
    if data.resolution:
        found = resized_images(found, data.resolution)
    shape, want = found.images.shape[1:], run.images[:3]
    if shape != tuple(want) or found.labels.max() >= run.images.num_classes:
        raise DataError(
            f"data set {data.name}: its test split has images of shape {shape} and "
            f"labels up to {found.labels.max()}, the network is for {tuple(want)} and "
            f"{run.images.num_classes} classes"
        )
    return found


def make_setup(run: TrainingRun, steps: int, read: Read) -> Setup:
    """Make the parts of a training step.

    Args:
      run: what is trained.
      steps: of an epoch.
      read: makes images and labels of the inputs of a batch.
    """
    recipe = run.config.train
    return Setup(
        plan(run.block, run.config.network, run.images),
        recipe,
        suited(run.config.data, run.images),
        run.mean,
        run.std,
        run.images.num_classes,
        make_optimizer(recipe, max(1, steps // recipe.accumulate)),
        read,
    )


def first_state(run: TrainingRun) -> State:
    """Make the first state of a training."""
    return init_state(make_setup(run, 1, _nothing))


def abstract_state(run: TrainingRun) -> State:
    """Return shapes and dtypes of the states of a training."""
    setup = make_setup(run, 1, _nothing)
    variables = abstract_variables(setup.plan)
    found: State = jax.eval_shape(functools.partial(make_state, setup), variables)
    return found


def _nothing(data: Any, inputs: Any) -> Any:
    raise AssertionError("nothing is read to make a state")

"""Job: a full training with its data open, in memory or streamed from disk."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from bqnn.data import Images, load, load_test
from bqnn.data.resize import resized, resized_images
from bqnn.errors import DataError
from bqnn.final.augment import choose_augmentation
from bqnn.final.config import FinalConfig, FinalDataConfig
from bqnn.final.feed import Feed, Resident, Streamed, evaluation_batches
from bqnn.final.model import Model
from bqnn.final.recipe import make_optimizer
from bqnn.final.step import Batch, Read, Setup, State, make_state
from bqnn.networks.network import abstract_variables
from bqnn.networks.plan import ImageSpec, plan
from bqnn.space.nsc import Block


class TrainingRun(NamedTuple):
    """A full training, as `run.json` records it.

    Attributes:
      block: the block to train.
      config: configuration of the training.
      images: shape of the images, and number of classes.
      class_names: names of the K classes, in the order of the labels.
      mean, std: of every channel, in units of pixels, float32 `[C]`.
    """

    block: Block
    config: FinalConfig
    images: ImageSpec
    class_names: tuple[str, ...]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def model(self, variables: Mapping[str, Any]) -> Model:
        """Make the model with these variables."""
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
    """A full training with its data open.

    Attributes:
      run: the training.
      feed: yields its batches.
      test: opens the test split and yields its batches, as `Feed.evaluation` does.
    """

    run: TrainingRun
    feed: Feed
    test: Callable[[], Iterator[Batch]]


def open_job(block: Block, config: FinalConfig) -> Job:
    """Open the data that a block is trained on.

    Args:
      block: the block to train.
      config: configuration of the training.

    Raises:
      DataError: if the data set is missing or malformed.
      ConfigError: if the configuration does not fit the data set.
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

    Args:
      data: configuration of the data set.
      run: the training of the network.

    Raises:
      DataError: if there is no test split, or its images or classes are not those of
        the network.
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
    """Make the parts that a step is made of.

    Args:
      run: the training.
      steps: number of steps in an epoch.
      read: makes images and labels from the inputs of a batch.
    """
    recipe = run.config.train
    return Setup(
        plan(run.block, run.config.network, run.images),
        recipe,
        choose_augmentation(run.config.data, run.images),
        run.mean,
        run.std,
        run.images.num_classes,
        make_optimizer(recipe, max(1, steps // recipe.accumulate)),
        read,
    )


def abstract_state(run: TrainingRun) -> State:
    """Return the shapes and dtypes of a training's state."""
    setup = make_setup(run, 1, _read_nothing)
    variables = abstract_variables(setup.plan)
    found: State = jax.eval_shape(functools.partial(make_state, setup), variables)
    return found


def _read_nothing(data: Any, inputs: Any) -> Any:
    raise AssertionError("making a state reads no images")

"""Opens the data of a full training: in memory, or streamed from disk."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from bqnn.data import Images, load, load_test
from bqnn.data.resize import resized, resized_images
from bqnn.errors import DataError
from bqnn.final.config import FinalConfig, FinalDataConfig
from bqnn.final.feed import Feed, Resident, Streamed, measured_batches
from bqnn.final.run import Run
from bqnn.final.step import Batch
from bqnn.space.nsc import Block


class Job(NamedTuple):
    """A training that can begin.

    Attributes:
      run: what is trained.
      feed: the data.
      test: opens the test split, as `Feed.measured` yields batches: for the end.
    """

    run: Run
    feed: Feed
    test: Callable[[], Iterator[Batch]]


def open_job(block: Block, config: FinalConfig) -> Job:
    """Open the data that a block is to learn from.

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
    run = Run(
        block, config, dataset.spec, dataset.class_names, dataset.mean, dataset.std
    )
    feed = Resident(dataset.train, dataset.validation, config.train)

    def test() -> Iterator[Batch]:
        images = test_images(config.data, run)
        return measured_batches(images, config.train.step_batch)

    return Job(run, feed, test)


def _streamed(block: Block, config: FinalConfig) -> Job:
    from bqnn.data.stream import MEAN, STD, open_streams  # needs grain

    streams = open_streams(config.data, config.data.resolution, config.data.workers)
    run = Run(block, config, streams.images, streams.class_names, MEAN, STD)
    feed = Streamed(streams, config.train)
    return Job(run, feed, lambda: feed.measured("test"))


def test_images(data: FinalDataConfig, run: Run) -> Images:
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

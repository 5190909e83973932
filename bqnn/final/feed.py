"""Feeds: the batches of a full training, from device memory or from disk.

A feed yields the part of every batch that its process computes: B images. Which images
the whole batch has depends on seed and epoch, not on the number of devices.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np
from jax import Array
from numpy.typing import NDArray

from bqnn import parallel
from bqnn.data import Images
from bqnn.data.batches import all_batches, epoch_batches
from bqnn.errors import ConfigError
from bqnn.final.config import RecipeConfig
from bqnn.final.step import Batch, Read

if TYPE_CHECKING:  # grain is needed only where images are streamed
    from bqnn.data.stream import Streams


class Feed(Protocol):
    """Yields this process's part of every batch.

    Attributes:
      steps: number of steps in an epoch.
      data: arrays to copy to every device; NumPy arrays until then.
      read: makes images and labels from `data` and the inputs of a training batch.
    """

    steps: int
    data: Any
    read: Read

    def train(self, epoch: int, start: int) -> Iterator[Batch]:
        """Yield the training batches of an epoch, `[B, ...]`, from step `start` on."""

    def evaluation(self) -> Iterator[Batch]:
        """Yield every image of the validation part once, and padding.

        The inputs of each batch are `Images`, `[B, ...]`.
        """


class Resident:
    """Feed of a data set in the memory of every device: batches are only indices."""

    def __init__(self, train: Images, validation: Images, config: RecipeConfig) -> None:
        """Keep both parts.

        Raises:
          ConfigError: if there are fewer training images than in a batch, or the number
            of devices does not divide a batch.
        """
        self._validation, self._config = validation, config
        self._batch, self._total = config.step_batch, len(train.labels)
        self._local = _local_part(self._batch)
        self.data: Any = train
        self.read: Read = _gather
        self.steps = _steps(self._total, config)

    def train(self, epoch: int, start: int) -> Iterator[Batch]:
        """Yield the training batches of an epoch from step `start` on."""
        order = epoch_batches(self._total, self._batch, self._config.seed, epoch)
        positions = _positions(self._batch)
        for indices in order.indices[start : self.steps]:
            inputs = indices[self._local]
            yield Batch(inputs, positions, np.ones(len(inputs), bool))

    def evaluation(self) -> Iterator[Batch]:
        """Yield every image of the validation part once, and padding."""
        return evaluation_batches(self._validation, self._batch)


class Streamed:
    """Feed of a data set that is read from disk while training."""

    def __init__(self, streams: Streams, config: RecipeConfig) -> None:
        """Keep the open data set.

        Raises:
          ConfigError: as `Resident` does.
        """
        self._streams, self._config = streams, config
        self._batch = config.step_batch
        self._positions = _positions(self._batch)
        self.data: Any = ()
        self.read: Read = _take
        self.steps = _steps(streams.train_images, config)

    def train(self, epoch: int, start: int) -> Iterator[Batch]:
        """Yield the training batches of an epoch from step `start` on."""
        stream = self._streams.train(
            self._batch, self._config.seed, epoch, start, *_process()
        )
        for images in itertools.islice(stream, self.steps - start):
            mask = np.ones(len(images.labels), bool)
            yield Batch(images, self._positions, mask)

    def evaluation(self, part: str = "validation") -> Iterator[Batch]:
        """Yield every image of `validation` or `test` once, and padding."""
        for images, mask in self._streams.evaluation(part, self._batch, *_process()):
            yield Batch(images, self._positions, mask)


def evaluation_batches(data: Images, batch: int) -> Iterator[Batch]:
    """Yield this process's part of batches that hold every image once, and padding."""
    local, positions = _local_part(batch), _positions(batch)
    for indices, mask in zip(*all_batches(len(data.labels), batch), strict=True):
        images, labels = data.images[indices[local]], data.labels[indices[local]]
        inputs = Images(images, labels)
        yield Batch(inputs, positions, mask[local])


def _local_part(batch: int) -> slice:
    """Return this process's part of a batch."""
    count = parallel.local_batch(batch)
    first = jax.process_index() * count
    return slice(first, first + count)


def _positions(batch: int) -> NDArray[np.int32]:
    """Return the positions of this process's images in the whole batch, int32 `[B]`."""
    return np.arange(batch, dtype=np.int32)[_local_part(batch)]


def _steps(images: int, config: RecipeConfig) -> int:
    """Return the number of steps in an epoch: whole updates of `accumulate` steps.

    Images that would not fill an update are left out. So every epoch ends with an
    update, and milestones come at the epochs that the recipe names.
    """
    if images < config.batch:
        raise ConfigError(
            f"train.batch is {config.batch}: want at most the {images} training images"
        )
    return images // config.batch * config.accumulate


def _process() -> tuple[int, int]:
    return jax.process_index(), jax.process_count()


def _take(data: Any, images: Any) -> tuple[Array, Array]:
    return images


def _gather(data: Any, indices: Any) -> tuple[Array, Array]:
    return data.images[indices], data.labels[indices]

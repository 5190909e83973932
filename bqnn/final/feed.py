"""Feeds: the batches of a full training, from device memory or from disk.

Every process gets its part of a batch, B images. The images of the whole batch depend
on seed and epoch alone, not on the number of devices.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np
from jax import Array
from numpy.typing import NDArray

from bqnn.data import Images
from bqnn.data.batches import all_batches, epoch_batches
from bqnn.errors import ConfigError
from bqnn.final import parallel
from bqnn.final.config import RecipeConfig
from bqnn.final.step import Batch, Read

if TYPE_CHECKING:  # grain is needed only where images are streamed
    from bqnn.data.stream import Streams


class Feed(Protocol):
    """Yields this process's part of every batch.

    Attributes:
      steps: of an epoch.
      data: arrays to keep on every device; still NumPy arrays here.
      read: makes images and labels of `data` and the inputs of a training batch.
    """

    steps: int
    data: Any
    read: Read

    def train(self, epoch: int, start: int) -> Iterator[Batch]:
        """Yield the training batches of an epoch from step `start` on, `[B, ...]`."""

    def evaluation(self) -> Iterator[Batch]:
        """Yield every image of the validation part once, and padding.

        The inputs of the batches are `Images`, `[B, ...]`.
        """


class Resident:
    """A data set that stays in the memory of every device."""

    def __init__(self, train: Images, validation: Images, config: RecipeConfig) -> None:
        """Keep both parts.

        Raises:
          ConfigError: if there are fewer training images than a batch has, or a batch
            cannot be divided among the devices.
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
    """A data set read from disk as it is needed."""

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
        """Yield every image of a part once, and padding."""
        for images, mask in self._streams.evaluation(part, self._batch, *_process()):
            yield Batch(images, self._positions, mask)


def evaluation_batches(data: Images, batch: int) -> Iterator[Batch]:
    """Yield this process's part of batches of every image, and padding."""
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
    """Count the steps of an epoch, in whole updates of `accumulate` steps.

    Images that would not fill an update are left out, so that every epoch ends with one
    and milestones come when the recipe says.
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

"""Streams: images read from disk during training, for sets larger than the memory.

grain reads image classification sets of tensorflow_datasets. The order of the images
and their crops depend on seed, epoch and index alone: not on the number of processes
and workers, and not on the step where a training resumes. B counts the images of one
process's part of a batch.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import grain
import numpy as np
from absl import flags
from numpy.typing import NDArray
from PIL import Image

from bqnn import schema
from bqnn.config import DataConfig
from bqnn.data import tfds_source
from bqnn.data.batches import all_batches, epoch_batches
from bqnn.data.crops import centre_crop, random_crop
from bqnn.data.encoded import Crop, ReadImage, open_split
from bqnn.data.source import Images
from bqnn.errors import DataError, quote
from bqnn.machine import cores
from bqnn.networks.plan import ImageSpec

Indices = NDArray[np.int32]

# Of ImageNet's training images, in units of pixels. torchvision's models use the same:
# (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225), times 255.
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)

# Batches prefetched by this process, or by every worker.
_PREFETCH = 2


class Streams:
    """A data set that is read from disk batch by batch.

    Attributes:
      images: shape of the images and number of classes.
      class_names: in the order of the labels.
      train_images: number of images to learn from.
    """

    def __init__(
        self, config: DataConfig, resolution: int, workers: int, builder: Any
    ) -> None:
        """Divide the training split of a prepared data set."""
        self._config, self._resolution, self._workers = config, resolution, workers
        self._builder = builder
        total = builder.info.splits["train"].num_examples
        self._train, self._validation = _parts(total, config)
        label_key = builder.info.supervised_keys[1]
        self.class_names = tuple(builder.info.features[label_key].names)
        self.images = ImageSpec(resolution, resolution, 3, len(self.class_names))
        self.train_images = len(self._train)

    def train(
        self,
        batch: int,
        seed: int,
        epoch: int,
        start: int,
        process: int,
        processes: int,
    ) -> Iterator[Images]:
        """Yield one process's part of the training batches of an epoch.

        Every image comes once, in random order, as a random crop. A last partial batch
        is dropped.

        Args:
          batch: images of a batch over all processes.
          seed: of order and crops.
          epoch: its number, from 0.
          start: the first batch to yield.
          process: the index of the process, from 0.
          processes: their number; divides `batch`.

        Yields:
          Images, uint8 `[B, H, W, 3]`, and labels, int32 `[B]`.

        Raises:
          DataError: if an image cannot be read.
        """
        order = epoch_batches(len(self._train), batch, seed, epoch).indices[start:]
        batches = self._train[_process_part(order, process, processes)]
        crop = partial(
            _training_crop, resolution=self._resolution, seed=seed, epoch=epoch
        )
        yield from self._read("train", batches, crop)

    def evaluation(
        self, part: str, batch: int, process: int, processes: int
    ) -> Iterator[tuple[Images, NDArray[np.bool_]]]:
        """Yield one process's part of batches of every image, and padding.

        Args:
          part: `validation` or `test`.
          batch: images of a batch over all processes.
          process: the index of the process, from 0.
          processes: their number; divides `batch`.

        Yields:
          Images, uint8 `[B, H, W, 3]`, with labels, int32 `[B]`; and a mask, bool
          `[B]`, which is False where an image is padding.

        Raises:
          DataError: if there is no such part, or an image cannot be read.
        """
        split, indices = self._evaluation_part(part)
        order, mask = (
            _process_part(array, process, processes)
            for array in all_batches(len(indices), batch)
        )
        crop = partial(_evaluation_crop, resolution=self._resolution)
        yield from zip(self._read(split, indices[order], crop), mask, strict=True)

    def _evaluation_part(self, part: str) -> tuple[str, Indices]:
        """Return the split that holds a part, and the part's indices in it."""
        if part == "validation":
            return "train", self._validation
        split = self._test_split()
        total = self._builder.info.splits[split].num_examples
        return split, np.arange(total, dtype=np.int32)

    def _test_split(self) -> str:
        """Choose the split to test on; it must have labels."""
        for split in ("test", "validation"):
            if split in self._builder.info.splits and self._labelled(split):
                return split
        raise DataError(
            f"data set {self._config.name}: it has neither a test nor a validation "
            f"split with labels, only {', '.join(self._builder.info.splits)}"
        )

    def _labelled(self, split: str) -> bool:
        # A competition hides the labels of its test split: all are -1.
        return open_split(self._builder, self._config.name, split).label(0) >= 0

    def _read(self, split: str, batches: Indices, crop: Crop) -> Iterator[Images]:
        """Read batches of images.

        Args:
          split: the split to read.
          batches: indices in the split, int32 `[S, B]`.
          crop: maps an image and its index to pixels.

        Yields:
          Images, uint8 `[B, H, W, 3]`, and labels, int32 `[B]`.
        """
        if not batches.size:
            return
        encoded = open_split(self._builder, self._config.name, split)
        examples = grain.MapDataset.source(batches.ravel()).map(
            ReadImage(encoded, crop)
        )
        iterator = iter(_prefetched(examples, batches.shape[1], self._workers))
        try:
            for images in iterator:
                # Copied, because grain frees a worker's shared memory with its array.
                yield Images(np.array(images.images), np.array(images.labels))
        finally:
            iterator.close()


def open_streams(
    config: DataConfig, resolution: int | None, workers: int = 0
) -> Streams:
    """Open a data set of tensorflow_datasets; prepare it if it is not.

    The validation part is drawn from the whole training split, not from every class:
    that would have to read all labels first.

    Args:
      config: name, directory and validation part.
      resolution: side that images are resized to, in pixels.
      workers: processes that decode images; 0 for threads of this one.

    Raises:
      DataError: if it is missing, has no training images or cannot be streamed, or no
        resolution is given.
    """
    name = config.name
    if resolution is None:
        raise DataError(
            f"data set {name}: streaming needs one size for all images: set "
            "data.resolution"
        )
    if name == "digits" or ":" in name:
        raise DataError(
            f"data set {quote(name)} cannot be streamed: want a name from "
            "tensorflow_datasets, or data.streaming=False"
        )
    builder = tfds_source.prepared(name, config.data_dir)
    tfds_source.check_split(builder, name, "train")
    total = builder.info.splits["train"].num_examples
    if total > schema.MOST_IMAGES:
        raise DataError(
            f"data set {name} train: {total:,} images, want {schema.MOST_IMAGES:,} at "
            "most"
        )
    streams = Streams(config, resolution, workers, builder)
    if not streams.train_images:
        raise DataError(f"data set {name} train: there are no images to learn from")
    open_split(builder, name, "train")
    return streams


def _training_crop(
    image: Image.Image, index: int, resolution: int, seed: int, epoch: int
) -> NDArray[np.uint8]:
    rng = np.random.Generator(np.random.Philox([seed, epoch, index]))
    return random_crop(image, resolution, rng)


def _evaluation_crop(
    image: Image.Image, index: int, resolution: int
) -> NDArray[np.uint8]:
    return centre_crop(image, resolution)


def _parts(total: int, config: DataConfig) -> tuple[Indices, Indices]:
    """Draw the indices of training and validation part from the training split."""
    rng = np.random.Generator(np.random.Philox(config.split_seed))
    order = rng.permutation(total).astype(np.int32)
    count = max(1, round(config.validation * total)) if config.validation else 0
    return np.sort(order[count:]), np.sort(order[:count])


def _process_part(batches: NDArray[Any], process: int, processes: int) -> NDArray[Any]:
    """Return one process's part of every batch, `[S, B]`."""
    return np.split(batches, processes, axis=1)[process]


def _prefetched(
    examples: grain.MapDataset[Images], batch: int, workers: int
) -> grain.IterDataset[Images]:
    """Batch examples in their order, and prefetch some batches.

    Without workers, the threads of this process read each batch together. With workers,
    each makes whole batches, in turn. They are spawned: a fork of jax could hang.
    """
    if workers:
        # grain's workers read a flag of grain; only a launcher parses absl's flags.
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()
        alone = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
        turns = grain.MultiprocessingOptions(workers, _PREFETCH)
        batches: grain.MapDataset[Images] = examples.batch(batch)
        return batches.to_iter_dataset(alone).mp_prefetch(turns, _start_worker)
    shared = grain.ReadOptions(cores(), max(_PREFETCH * batch, cores()))
    return examples.to_iter_dataset(shared).batch(batch)


def _start_worker(worker: int, workers: int) -> None:
    # Ctrl-C reaches all processes. The training finishes its step and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Else workers outlive a killed training. The death signal of Linux would come too
    # early: when the thread that started the worker ends, and grain's thread is short.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

"""Images read from disk while they are needed: for what does not fit in memory.

Any image classification set of tensorflow_datasets, through grain. What image stands
where, and how it is cropped, depends on seed, epoch and index alone: neither on the
number of processes and workers nor on where a training went on.
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
from bqnn.data.crops import centre_crop, random_crop
from bqnn.data.encoded import Crop, ReadImage, open_split
from bqnn.data.source import Images
from bqnn.errors import DataError, quote
from bqnn.machine import cores
from bqnn.networks.plan import ImageSpec

Indices = NDArray[np.int32]

# Of ImageNet's training images, in units of pixels; as torchvision's models have them:
# (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225), times 255.
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)

# Batches made ahead, of this process or of every worker.
_AHEAD = 2


class Streams:
    """A data set read from disk as it is needed.

    Attributes:
      images: shape of the images, and number of classes.
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

        Every image comes once, in random order, a random part of it resized; a last
        partial batch is left out.

        Args:
          batch: images of a batch over all processes.
          seed: of order and crops.
          epoch: its number, from 0.
          start: the first batch to yield.
          process: whose part, from 0.
          processes: their number; divides `batch`.

        Yields:
          Images, `[batch / processes, R, R, 3]`.

        Raises:
          DataError: if an image cannot be read.
        """
        rng = np.random.Generator(np.random.Philox([seed, epoch]))
        order = rng.permutation(self._train)
        steps = len(order) // batch
        batches = order[: steps * batch].reshape(steps, processes, batch // processes)
        crop = partial(_varied, resolution=self._resolution, seed=seed, epoch=epoch)
        yield from self._read("train", batches[start:, process], crop)

    def evaluation(
        self, part: str, batch: int, process: int, processes: int
    ) -> Iterator[tuple[Images, NDArray[np.bool_]]]:
        """Yield one process's part of the batches of all images of a part.

        Args:
          part: `validation` or `test`.
          batch: images of a batch over all processes.
          process: whose part, from 0.
          processes: their number; divides `batch`.

        Yields:
          Images and which of them count: every image once, over all processes; the
          last batch is filled up.  # [batch / processes, R, R, 3], [batch / processes]

        Raises:
          DataError: if there is no such part, or an image cannot be read.
        """
        split, indices = self._evaluated(part)
        steps = -(-len(indices) // batch)
        ranks = np.arange(steps * batch).reshape(steps, processes, batch // processes)
        ranks = ranks[:, process]
        mask = ranks < len(indices)
        batches = indices[np.minimum(ranks, len(indices) - 1)]
        read = self._read(
            split, batches, partial(_centred, resolution=self._resolution)
        )
        yield from zip(read, mask, strict=True)

    def _evaluated(self, part: str) -> tuple[str, Indices]:
        if part == "validation":
            return "train", self._validation
        split = self._test_split()
        total = self._builder.info.splits[split].num_examples
        return split, np.arange(total, dtype=np.int32)

    def _test_split(self) -> str:
        """Choose the split to test on: its classes must be known."""
        for split in ("test", "validation"):
            if split in self._builder.info.splits and self._labelled(split):
                return split
        raise DataError(
            f"data set {self._config.name}: it has neither a test nor a validation "
            f"split with labels, only {', '.join(self._builder.info.splits)}"
        )

    def _labelled(self, split: str) -> bool:
        # The labels of a contest's test split are hidden: all are -1.
        return open_split(self._builder, self._config.name, split).label(0) >= 0

    def _read(self, split: str, batches: Indices, crop: Crop) -> Iterator[Images]:
        """Read batches of images.

        Args:
          split: that has them.
          batches: indices in the split, `[S, b]`.
          crop: makes an example's pixels.

        Yields:
          Images, `[b, R, R, 3]`.
        """
        if not batches.size:
            return
        encoded = open_split(self._builder, self._config.name, split)
        examples = grain.MapDataset.source(batches.ravel()).map(
            ReadImage(encoded, crop)
        )
        iterator = iter(_ahead(examples, batches.shape[1], self._workers))
        try:
            for images in iterator:
                # Copied, as the worker's shared memory ends with grain's own array.
                yield Images(np.array(images.images), np.array(images.labels))
        finally:
            iterator.close()


def open_streams(
    config: DataConfig, resolution: int | None, workers: int = 0
) -> Streams:
    """Open a data set of tensorflow_datasets, and prepare it if need be.

    Its validation part is a random part of the training split: as labels would have to
    be read first, it is not stratified.

    Args:
      config: name, directory and validation part.
      resolution: R, the side that images are resized to.
      workers: processes that decode images; 0 for threads of this one.

    Raises:
      DataError: if it is missing, has no training images or is unsuited, or no
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


def _varied(
    image: Image.Image, index: int, resolution: int, seed: int, epoch: int
) -> NDArray[np.uint8]:
    rng = np.random.Generator(np.random.Philox([seed, epoch, index]))
    return random_crop(image, resolution, rng)


def _centred(image: Image.Image, index: int, resolution: int) -> NDArray[np.uint8]:
    return centre_crop(image, resolution)


def _parts(total: int, config: DataConfig) -> tuple[Indices, Indices]:
    """Divide the indices of the training split into training and validation part."""
    rng = np.random.Generator(np.random.Philox(config.split_seed))
    order = rng.permutation(total).astype(np.int32)
    count = max(1, round(config.validation * total)) if config.validation else 0
    return np.sort(order[count:]), np.sort(order[:count])


def _ahead(
    examples: grain.MapDataset[Images], batch: int, workers: int
) -> grain.IterDataset[Images]:
    """Make batches of examples, some ahead, in their order.

    Without workers, threads share every batch; a worker makes whole batches, and the
    workers take turns. Workers are spawned, never forked.
    """
    if workers:
        # grain asks for a flag of its own, which outside a launcher nobody parsed.
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()
        alone = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
        turns = grain.MultiprocessingOptions(workers, _AHEAD)
        batches: grain.MapDataset[Images] = examples.batch(batch)
        return batches.to_iter_dataset(alone).mp_prefetch(turns, _start_worker)
    shared = grain.ReadOptions(cores(), max(_AHEAD * batch, cores()))
    return examples.to_iter_dataset(shared).batch(batch)


def _start_worker(worker: int, workers: int) -> None:
    # Ctrl-C reaches all processes; the training finishes its step and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A killed training ends none. The death signal of Linux would come too early: it
    # follows the thread that started the worker, and grain does so by a passing one.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

"""Data sets by name: training part, held-out validation part, test split."""

import functools
import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn.config import DataConfig
from bqnn.data import digits, folder, npz, tfds_source
from bqnn.data.source import Images, Split
from bqnn.errors import DataError
from bqnn.networks.plan import ImageSpec

Reader = Callable[[str, str | None, str], Split]

SOURCES: dict[str, Reader] = {
    "digits": digits.read,
    "npz": npz.read,
    "folder": folder.read,
}
"""Readers (argument, data_dir, split) by the text before the colon of a name.

Every other name is one of tensorflow_datasets.
"""


class Dataset(NamedTuple):
    """The data of a search: training and validation part.

    Attributes:
      train: the part to learn from.
      validation: the part to measure on, held out from the training split; without
        images if nothing is held out.
      class_names: in the order of the labels.
      mean, std: of the training part, in units of pixels, float32 `[C]`.
    """

    train: Images
    validation: Images
    class_names: tuple[str, ...]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def spec(self) -> ImageSpec:
        """Shape of the images and number of classes."""
        _, height, width, channels = self.train.images.shape
        return ImageSpec(height, width, channels, self.num_classes)

    def fingerprint(self) -> str:
        """Hash the images and labels of both parts (sha256, 16 hexadecimal digits)."""
        sha = hashlib.sha256()
        for array in (*self.train, *self.validation):
            sha.update(str(array.shape).encode())
            sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()[:16]


@functools.lru_cache(maxsize=1)
def load(config: DataConfig) -> Dataset:
    """Load the training split of a data set, divided into training and validation.

    Raises:
      DataError: if the data set is missing or malformed; one line with the cure.
    """
    split = _read(config, "train")
    counts = np.bincount(split.data.labels, minlength=len(split.class_names))
    if config.validation and counts.min() < 2:
        worst = split.class_names[int(counts.argmin())]
        raise DataError(
            f"data set {config.name}: class '{worst}' has {counts.min()} training "
            "images, want 2 or more (one to learn from, one to validate on)"
        )
    mask = _validation_mask(split.data.labels, config.validation, config.split_seed)
    train, validation = _select(split.data, ~mask), _select(split.data, mask)
    mean, std = statistics(train.images)
    return Dataset(train, validation, split.class_names, mean, std)


def load_test(config: DataConfig) -> Images:
    """Load the test split: only for the full training, never for a search."""
    return _read(config, "test").data


def _read(config: DataConfig, split: str) -> Split:
    kind, colon, argument = config.name.partition(":")
    if kind in SOURCES and bool(colon) == (kind != "digits"):
        return SOURCES[kind](argument, config.data_dir, split)
    return tfds_source.read(config.name, config.data_dir, split)


def _validation_mask(
    labels: NDArray[np.int32], fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Draw the images to hold out: `fraction` of every class, bool `[N]`.

    Unless `fraction` is 0, at least one image of a class is held out, and one is left.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels) if fraction else ():
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        mask[members[:count]] = True
    return mask


def _select(data: Images, mask: NDArray[np.bool_]) -> Images:
    return Images(data.images[mask], data.labels[mask])


def statistics(
    images: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute mean and standard deviation by channel, from exact histograms.

    Args:
      images: uint8 `[N, H, W, C]`.

    Returns:
      Both in units of pixels, float32 `[C]`.
    """
    levels = np.arange(256.0)
    means, stds = [], []
    for channel in range(images.shape[-1]):
        counts = np.bincount(images[..., channel].ravel(), minlength=256)
        mean = (counts @ levels) / counts.sum()
        means.append(mean)
        stds.append(np.sqrt(counts @ (levels - mean) ** 2 / counts.sum()))
    # Images are divided by it: 1 keeps a constant channel finite.
    return np.array(means, np.float32), np.maximum(stds, 1).astype(np.float32)

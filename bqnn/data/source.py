"""Splits: images and labels as a data source returns them, checked."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn import schema
from bqnn.errors import DataError
from bqnn.schema import FactError


class Images(NamedTuple):
    """Images and their classes.

    Attributes:
      images: uint8 `[N, H, W, C]`.
      labels: from 0 to the number of classes - 1, int32 `[N]`.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]


class Split(NamedTuple):
    """One split of a data set, and the names of all its classes."""

    data: Images
    class_names: tuple[str, ...]


def make_split(
    where: str, images: Any, labels: Any, class_names: tuple[str, ...] | None = None
) -> Split:
    """Check images and labels, and convert them to `Images`.

    Args:
      where: names the split in messages.
      images: uint8 `[N, H, W]` or `[N, H, W, C]`.
      labels: integers `[N]`.
      class_names: in the order of the labels; by default `0`, `1`, ... up to the
        largest label.

    Raises:
      DataError: if a shape or dtype is another, there are no images, or a label is out
        of range.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if images.dtype != np.uint8:
        raise DataError(f"{where}: images are {images.dtype}, want uint8 (0 to 255)")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4:
        raise DataError(
            f"{where}: images have shape {images.shape}, want [N, H, W] or [N, H, W, C]"
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise DataError(
            f"{where}: labels are {labels.dtype} of shape {labels.shape}, "
            f"want one integer for each of {len(images)} images"
        )
    if not images.size:
        raise DataError(f"{where}: there are no images")
    _check_labels(where, labels, class_names)
    if class_names is None:
        class_names = tuple(map(str, range(int(labels.max()) + 1)))
    return Split(Images(images, labels.astype(np.int32)), class_names)


def _check_labels(
    where: str, labels: NDArray[Any], class_names: tuple[str, ...] | None
) -> None:
    """Check that every label has a class, and that names of classes are plain text."""
    names = class_names or ()
    if len(names) > schema.MOST_CLASSES:
        raise DataError(
            f"{where}: there are {len(names):,} classes, want {schema.MOST_CLASSES:,} "
            "at most"
        )
    for name in names:
        try:
            schema.NAME(name)
        except FactError as error:
            raise DataError(f"{where}: the name of a class {error}") from error
    last = (schema.MOST_CLASSES if class_names is None else len(names)) - 1
    if labels.min() < 0 or labels.max() > last:
        raise DataError(
            f"{where}: labels run from {labels.min()} to {labels.max()}, want 0 to "
            f"{last}"
        )

"""Encoded images: examples of a prepared tensorflow_datasets split, read one by one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bqnn.data import tfds_source
from bqnn.data.crops import decode
from bqnn.data.source import Images
from bqnn.errors import DataError

Crop = Callable[[Image.Image, int], NDArray[np.uint8]]
"""Maps an image and its index in the split to pixels, uint8 `[H, W, 3]`."""


@dataclass(frozen=True)
class EncodedSplit:
    """A split on disk.

    Attributes:
      where: names the split in messages.
      examples: a sequence of dictionaries; the images are encoded.
      image_key, label_key: keys of an example.
      classes: number of classes.
    """

    where: str
    examples: Any
    image_key: str
    label_key: str
    classes: int

    def label(self, index: int) -> int:
        """Read the label of an example."""
        return int(self.examples[index][self.label_key])


def open_split(builder: Any, name: str, split: str) -> EncodedSplit:
    """Open a split of a prepared data set.

    Raises:
      DataError: if it cannot be read.
    """
    import tensorflow_datasets as tfds

    image_key, label_key = builder.info.supervised_keys[:2]
    raw = {image_key: tfds.decode.SkipDecoding()}
    try:
        examples = builder.as_data_source(split=split, decoders=raw)
        examples[0]
    except Exception as error:
        # Errors of many types are raised for a damaged file or one of another format.
        raise tfds_source.unreadable(builder, name, split, error) from error
    classes = builder.info.features[label_key].num_classes
    where = f"data set {name} {split}"
    return EncodedSplit(where, examples, image_key, label_key, classes)


@dataclass(frozen=True)
class ReadImage:
    """Reads one image; a class, because grain's workers must unpickle it."""

    encoded: EncodedSplit
    crop: Crop

    def __call__(self, index: np.int32) -> Images:
        """Read and crop the image at `index`.

        Returns:
          Pixels, uint8 `[H, W, 3]`, and label, int32 `[]`.

        Raises:
          DataError: if it cannot be read, or its label is no class.
        """
        encoded = self.encoded
        try:
            example = encoded.examples[int(index)]
            pixels = self.crop(decode(example[encoded.image_key]), int(index))
        except Exception as error:
            # Pillow raises errors of many types for a damaged image.
            raise DataError(
                f"{encoded.where}: image {index} cannot be read ({error}); prepare the "
                "data set again"
            ) from error
        label = int(example[encoded.label_key])
        if not 0 <= label < encoded.classes:
            raise DataError(
                f"{encoded.where}: the label of image {index} is {label}, want 0 to "
                f"{encoded.classes - 1}"
            )
        return Images(pixels, np.array(label, np.int32))

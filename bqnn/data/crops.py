"""Crops: squares of one size from images of any size, by Pillow.

`random_crop` is for training, `centre_crop` for evaluation. Both resize with a bilinear
filter over all pixels that a new pixel covers.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bqnn.data import image_files

Box = tuple[int, int, int, int]
"""Left, upper, right and lower edge, in pixels."""

# Ranges of area and aspect of Szegedy et al., *Going deeper with convolutions*, 2015.
_AREA = (0.08, 1.0)
_ASPECT = (3 / 4, 4 / 3)
# As in torchvision's RandomResizedCrop, which most published recipes for ImageNet use.
_TRIES = 10

# Fraction of the short side that the centre crop keeps: 224 of 256 pixels.
_CENTRE = 224 / 256


def decode(encoded: bytes) -> Image.Image:
    """Decode an image to RGB.

    Raises:
      Exception: whatever Pillow raises if it is no image, or is cut off.
      DataError: if it is too large.
    """
    return image_files.decode(io.BytesIO(encoded), "RGB")


def random_crop(
    image: Image.Image, resolution: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Resize a random box of an image to a square.

    Args:
      image: RGB, of any size.
      resolution: side of the result, in pixels.
      rng: draws the box.

    Returns:
      Pixels, uint8 `[H, W, 3]`.
    """
    box = random_box(image.width, image.height, rng)
    side = (resolution, resolution)
    return np.array(image.crop(box).resize(side, Image.Resampling.BILINEAR))


def centre_crop(image: Image.Image, resolution: int) -> NDArray[np.uint8]:
    """Resize an image, and crop the square in its centre.

    Args:
      image: RGB, of any size.
      resolution: side of the result, in pixels: 7/8 of the resized short side.

    Returns:
      Pixels, uint8 `[H, W, 3]`.
    """
    scale = round(resolution / _CENTRE) / min(image.size)
    width, height = (max(resolution, round(scale * side)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, upper = (width - resolution) // 2, (height - resolution) // 2
    return np.array(image.crop((left, upper, left + resolution, upper + resolution)))


def random_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """Draw a box of 8 to 100 % of the area with an aspect of 3:4 to 4:3.

    If ten boxes drawn do not fit into the image, return the largest centred one.
    """
    for _ in range(_TRIES):
        area = width * height * rng.uniform(*_AREA)
        aspect = np.exp(rng.uniform(*np.log(_ASPECT)))
        w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left = int(rng.integers(width - w + 1))
            upper = int(rng.integers(height - h + 1))
            return left, upper, left + w, upper + h
    return _largest_box(width, height)


def _largest_box(width: int, height: int) -> Box:
    narrowest, widest = _ASPECT
    w = min(width, max(1, round(height * widest)))
    h = min(height, max(1, round(width / narrowest)))
    left, upper = (width - w) // 2, (height - h) // 2
    return left, upper, left + w, upper + h

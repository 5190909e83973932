"""Crops of encoded images of any size to squares of one size, by Pillow.

Both resize by bilinear interpolation over all pixels that a new pixel covers.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bqnn.data import image_files

Box = tuple[int, int, int, int]
"""Left, upper, right and lower edge, in pixels."""

# Szegedy et al., *Going deeper with convolutions*, 2015.
_AREA = (0.08, 1.0)
_ASPECT = (3 / 4, 4 / 3)
# Of torchvision's RandomResizedCrop, as most published recipes for ImageNet.
_TRIES = 10

# Of the short side, what is kept for evaluation: 224 of 256 pixels.
_EVALUATED = 224 / 256


def decode(encoded: bytes) -> Image.Image:
    """Decode an image, to RGB whatever it is.

    Raises:
      Exception: whatever Pillow raises if it is no image, or not all of one.
      DataError: if it is too large.
    """
    return image_files.decode(io.BytesIO(encoded), "RGB")


def random_crop(
    image: Image.Image, resolution: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Resize a random part of an image.

    Args:
      image: RGB, of any size.
      resolution: side of the result, in pixels.
      rng: is drawn from.

    Returns:
      Pixels, `[R, R, 3] uint8`.
    """
    box = random_box(image.width, image.height, rng)
    side = (resolution, resolution)
    return np.array(image.crop(box).resize(side, Image.Resampling.BILINEAR))


def centre_crop(image: Image.Image, resolution: int) -> NDArray[np.uint8]:
    """Resize an image, and cut off its margins.

    Args:
      image: RGB, of any size.
      resolution: side of the result, in pixels; 7/8 of the image's new short side.

    Returns:
      Pixels, `[R, R, 3] uint8`.
    """
    scale = round(resolution / _EVALUATED) / min(image.size)
    width, height = (max(resolution, round(scale * side)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, upper = (width - resolution) // 2, (height - resolution) // 2
    return np.array(image.crop((left, upper, left + resolution, upper + resolution)))


def random_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """Draw a box of 8 to 100 % of the area, 3:4 to 4:3 in shape.

    Where ten boxes do not fit into the image, it is the largest centred one.
    """
    for _ in range(_TRIES):
        area = width * height * rng.uniform(*_AREA)
        aspect = np.exp(rng.uniform(*np.log(_ASPECT)))
        across, down = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < across <= width and 0 < down <= height:
            left = int(rng.integers(width - across + 1))
            upper = int(rng.integers(height - down + 1))
            return left, upper, left + across, upper + down
    return _largest_box(width, height)


def _largest_box(width: int, height: int) -> Box:
    narrowest, widest = _ASPECT
    across = min(width, max(1, round(height * widest)))
    down = min(height, max(1, round(width / narrowest)))
    left, upper = (width - across) // 2, (height - down) // 2
    return left, upper, left + across, upper + down

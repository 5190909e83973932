"""Image files of others, read by Pillow."""

import warnings
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from bqnn import files, schema
from bqnn.errors import DataError

# Pillow's formats that run no other program; EPS would run Ghostscript.
_FORMATS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
}
SUFFIXES = {suffix for suffixes in _FORMATS.values() for suffix in suffixes}

# Pillow warns of more pixels than we accept. As an error, the warning becomes our line.
warnings.simplefilter("error", Image.DecompressionBombWarning)


def read_image(path: str | Path, mode: str | None = None) -> Image.Image:
    """Read an image file.

    Args:
      path: of the file.
      mode: `L` (grey) or `RGB`; by default, grey images stay grey and others become
        RGB.

    Raises:
      DataError: if it cannot be read, or is too large.
    """
    try:
        with files.open_file(path) as file:
            return decode(file, mode)
    except UnidentifiedImageError as error:
        # Pillow's message would print the file object.
        raise DataError(
            f"{path}: not a readable image: want {', '.join(_FORMATS)}"
        ) from error
    except Exception as error:
        # Pillow raises errors of many types for a damaged image.
        raise DataError(f"{path}: not a readable image ({error})") from error


def decode(file: BinaryIO, mode: str | None = None) -> Image.Image:
    """Decode an image, as `read_image` does.

    Raises:
      Exception: whatever Pillow raises if it is no image, or is cut off.
      DataError: if it is too large.
    """
    with Image.open(file, formats=tuple(_FORMATS)) as image:
        if image.width * image.height > schema.MOST_PIXELS:
            raise DataError(
                f"it has {image.width:,} x {image.height:,} pixels, want "
                f"{schema.MOST_PIXELS:,} at most"
            )
        return image.convert(mode or ("L" if image.mode in ("L", "1") else "RGB"))

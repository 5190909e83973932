"""Handwritten digits, embedded in scikit-learn: 1,797 real 8x8 images of 10 classes.

Alpaydin and Kaynak, *Optical Recognition of Handwritten Digits*, UCI, 1998.
"""

import gzip
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bqnn.data.source import Split, make_split
from bqnn.errors import DataError

TEST_IMAGES = 360


def read(argument: str, data_dir: str | None, split: str) -> Split:
    """Read the digits; the last 360 are the test split (ours).

    Pixels of 0 to 16 become 0 to 255.

    Raises:
      DataError: if scikit-learn is not installed, or does not hold them.
    """
    table = _table()
    pixels = table[:, :-1].reshape(-1, 8, 8)
    images = np.round(pixels * (255 / 16)).astype(np.uint8)
    labels = table[:, -1].astype(np.int32)
    part = slice(-TEST_IMAGES, None) if split == "test" else slice(0, -TEST_IMAGES)
    return make_split(f"digits {split}", images[part], labels[part])


def _table() -> NDArray[np.float64]:
    """Read scikit-learn's file: importing it would take two seconds.

    Returns:
      64 pixels and the label of every image.  # [N, 65]
    """
    found = importlib.util.find_spec("sklearn")
    folders = (found and found.submodule_search_locations) or ["scikit-learn"]
    path = Path(folders[0]) / "datasets" / "data" / "digits.csv.gz"
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return np.loadtxt(file, delimiter=",")
    except (OSError, ValueError) as error:
        raise DataError(
            f"data set digits: cannot read {path} ({error}): pip install scikit-learn"
        ) from error

"""Digits: 1,797 handwritten 8x8 images of 10 classes, shipped beside this module.

Alpaydin and Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning
Repository, 1998, https://doi.org/10.24432/C50P49, licensed under CC BY 4.0. This is its
test set, as in scikit-learn. `digits.npz` holds `pixels` from 0 to 16 and `labels`.
"""

from pathlib import Path

import numpy as np

from bqnn.data.source import Split, make_split
from bqnn.errors import DataError

TEST_IMAGES = 360

_FILE = Path(__file__).with_name("digits.npz")


def read(argument: str, data_dir: str | None, split: str) -> Split:
    """Read the digits, scaled to 0 to 255; the last 360 are the test split (ours).

    Raises:
      DataError: if the file is missing or damaged.
    """
    try:
        with np.load(_FILE, allow_pickle=False) as arrays:
            pixels, labels = arrays["pixels"], arrays["labels"]
    except Exception as error:
        # zipfile and NumPy raise errors of many types for a damaged file.
        raise DataError(
            f"data set digits: cannot read {_FILE} ({error}): install bqnn again"
        ) from error
    images = np.round(pixels * (255 / 16)).astype(np.uint8)
    part = slice(-TEST_IMAGES, None) if split == "test" else slice(0, -TEST_IMAGES)
    return make_split(f"digits {split}", images[part], labels[part].astype(np.int32))

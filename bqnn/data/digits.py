"""Handwritten digits, shipped beside this module: 1,797 real 8x8 images of 10 classes.

Alpaydin and Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning
Repository, 1998, https://doi.org/10.24432/C50P49, licensed under CC BY 4.0: its test
set, as scikit-learn has it too. `digits.npz` holds `pixels` from 0 to 16 and `labels`.
"""

from pathlib import Path

import numpy as np

from bqnn.data.source import Split, make_split
from bqnn.errors import DataError

TEST_IMAGES = 360

_FILE = Path(__file__).with_name("digits.npz")


def read(argument: str, data_dir: str | None, split: str) -> Split:
    """Read the digits; the last 360 are the test split (ours).

    Pixels of 0 to 16 become 0 to 255.

    Raises:
      DataError: if the file is missing or damaged.
    """
    try:
        with np.load(_FILE, allow_pickle=False) as arrays:
            pixels, labels = arrays["pixels"], arrays["labels"]
    except Exception as error:
        # A damaged archive makes NumPy raise more than OSError.
        raise DataError(
            f"data set digits: cannot read {_FILE} ({error}): install bqnn again"
        ) from error
    images = np.round(pixels * (255 / 16)).astype(np.uint8)
    part = slice(-TEST_IMAGES, None) if split == "test" else slice(0, -TEST_IMAGES)
    return make_split(f"digits {split}", images[part], labels[part].astype(np.int32))

"""Handwritten digits, embedded in scikit-learn: 1,797 real 8x8 images of 10 classes.

Alpaydin and Kaynak, *Optical Recognition of Handwritten Digits*, UCI, 1998.
"""

import numpy as np
from sklearn.datasets import load_digits

from bqnn.data.source import Split, make_split

TEST_IMAGES = 360


def read(argument: str, data_dir: str | None, split: str) -> Split:
    """Read the digits; the last 360 are the test split (ours).

    Pixels of 0 to 16 become 0 to 255.
    """
    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    part = slice(-TEST_IMAGES, None) if split == "test" else slice(0, -TEST_IMAGES)
    return make_split(f"digits {split}", images[part], digits.target[part])

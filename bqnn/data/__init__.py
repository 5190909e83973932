"""Data sets as arrays: `load` returns the training and the validation part.

Only `load_test` reads the test split, so that no search can touch it. Axes: N images of
a part, S steps, B images of a batch, H, W and C of an image.
"""

from bqnn.data.dataset import Dataset, load, load_test
from bqnn.data.source import Images

__all__ = ["Dataset", "Images", "load", "load_test"]

"""Data sets as arrays: `load` gives training and validation part, nothing else.

The test split is read by `load_test` alone, so that no search can touch it.
"""

from bqnn.data.dataset import Dataset, load, load_test
from bqnn.data.source import Images

__all__ = ["Dataset", "Images", "load", "load_test"]

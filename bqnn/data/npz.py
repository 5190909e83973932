"""NumPy files: a user's own arrays, `npz:FILE`."""

from bqnn.data.arrays import read_npz
from bqnn.data.source import Split, make_split


def read(argument: str, data_dir: str | None, split: str) -> Split:
    """Read `{split}_images` and `{split}_labels` from the file `argument`.

    Raises:
      DataError: if the file or an array is missing or malformed.
    """
    names = f"{split}_images", f"{split}_labels"
    images, labels = read_npz(argument, names)
    return make_split(f"{argument} {split}", images, labels)

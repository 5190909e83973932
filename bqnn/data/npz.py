"""A user's own arrays: `npz:FILE`."""

import zipfile

import numpy as np

from bqnn.data.source import Split, make_split
from bqnn.errors import DataError


def read(argument: str, data_dir: str | None, split: str) -> Split:
    """Read `{split}_images` and `{split}_labels` from the file named `argument`.

    Raises:
      DataError: if the file or an array is missing, or is not what it should be.
    """
    try:
        with np.load(argument, allow_pickle=False) as arrays:
            names = [f"{split}_images", f"{split}_labels"]
            missing = [name for name in names if name not in arrays.files]
            if missing:
                raise DataError(
                    f"{argument}: no array {' or '.join(missing)}: it has "
                    f"{', '.join(arrays.files) or 'none'}"
                )
            images, labels = (arrays[name] for name in names)
    except FileNotFoundError:
        raise DataError(f"npz:{argument}: there is no such file") from None
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(
            f"npz:{argument}: not a NumPy .npz file of plain arrays ({error})"
        ) from error
    return make_split(f"{argument} {split}", images, labels)

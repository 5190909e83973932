"""Arrays from files of others, read without running code or filling the memory."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bqnn import files, machine
from bqnn.errors import DataError, quote


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int


def read_npz(path: str | Path, names: Sequence[str]) -> list[np.ndarray]:
    """Read arrays by name.

    The sizes in the headers are compared with the sizes of the members and with this
    machine's memory before anything is unpacked: 16 MB can unpack to 16 GB of zeros.

    Raises:
      DataError: if the file is missing or damaged, or an array is missing or too
        large.
    """
    try:
        with files.open_file(path) as file, zipfile.ZipFile(file) as archive:
            _check(archive, names)
            return [_read(archive, name) for name in names]
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except Exception as error:
        # zipfile and NumPy raise errors of many types for a damaged file.
        raise DataError(
            f"{path}: not a NumPy .npz file of plain arrays ({error})"
        ) from error


def check_memory(nbytes: int) -> None:
    """Check that images fit in memory twice: dividing them copies them.

    Raises:
      DataError: if they do not.
    """
    most = machine.memory() // 2
    if nbytes > most:
        raise DataError(
            f"the images would take {nbytes:,} bytes, want {most:,} at most, half of "
            "this machine's memory"
        )


def _check(archive: zipfile.ZipFile, names: Sequence[str]) -> None:
    found = {
        member.filename.removesuffix(".npy"): member for member in archive.filelist
    }
    missing = [name for name in names if name not in found]
    if missing:
        has = quote(", ".join(found) or "none", 200)
        raise DataError(f"no array {' or '.join(missing)}: it has {has}")
    total = 0
    for name in names:
        header, size = _header(archive, name), found[name].file_size
        if header.dtype.kind not in "biuf":
            raise DataError(f"array {name} is {header.dtype}: want numbers")
        # Python's integers are exact; the product of a forged shape may overflow int64.
        nbytes = header.dtype.itemsize
        for side in header.shape:
            nbytes *= side
        if nbytes != size - header.offset or nbytes < 0:
            raise DataError(
                f"array {name} is damaged: of shape {quote(header.shape)}, "
                f"{header.dtype}, in {size:,} bytes"
            )
        total += nbytes
    check_memory(total)


def _header(archive: zipfile.ZipFile, name: str) -> _Header:
    with archive.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, _, dtype = readers[version](member)
        return _Header(tuple(map(int, shape)), dtype, member.tell())


def _read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as member:
        array: np.ndarray = np.lib.format.read_array(member, allow_pickle=False)
        return array

"""Pickles of others, read without anything that they name.

A pickle may name any function and have it called. Those of benchmarks hold texts,
numbers, lists and dictionaries, and NumPy's floats, which name two functions of NumPy:
functions of ours stand in for both. Every other name is refused.
"""

import io
import pickle
import struct
from pathlib import Path
from typing import Any, NoReturn

from bqnn import files
from bqnn.errors import DataError, quote, shortened
from bqnn.schema import LARGEST_TEXT_FILE


def read_pickle(path: Path) -> Any:
    """Read a pickle of plain data.

    Raises:
      DataError: if it cannot be read, or names what it should not.
    """
    try:
        data = files.read_bytes(path, LARGEST_TEXT_FILE)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    try:
        return _PlainUnpickler(io.BytesIO(data)).load()
    except Exception as error:
        # A damaged pickle raises errors of many types.
        raise DataError(
            f"{path} is no pickle of plain data ({shortened(str(error), 100)})"
        ) from error


class _Float64:
    """Stands in for the type of NumPy's float64, little-endian."""

    def __init__(self, code: str, align: bool, copy: bool) -> None:
        if code != "f8":
            raise pickle.UnpicklingError(f"a NumPy number of type {quote(code)}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] != "<":
            raise pickle.UnpicklingError("a NumPy number of another byte order")


def _float64(kind: _Float64, data: bytes) -> float:
    """Stand in for the function that makes a NumPy number."""
    value: float = struct.unpack("<d", data)[0]
    return value


_STAND_INS = {
    ("numpy", "dtype"): _Float64,
    ("numpy.core.multiarray", "scalar"): _float64,
    ("numpy._core.multiarray", "scalar"): _float64,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it names {quote(f'{module}.{name}')}")
        return _STAND_INS[module, name]

    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError("it names an object outside")

"""Files that others made, opened so that none can make us wait or fill the memory."""

import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from bqnn import bounds


def open_file(path: str | Path) -> BinaryIO:
    """Open a file to read.

    Raises:
      OSError: if it cannot be opened, or is a folder, a pipe, a socket or a device.
    """
    try:
        # A pipe that nobody writes to would otherwise be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a NUL in its name
        raise OSError(str(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a regular file")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: str | Path, most: int) -> bytes:
    """Read a file of at most so many bytes.

    Raises:
      OSError: as `open_file` does, or if it is larger.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(f"has {size:,} bytes, want {most:,} at most")
        return file.read()


def read_text(path: str | Path) -> str:
    """Read a file of UTF-8.

    Raises:
      OSError: as `read_bytes` does.
      ValueError: if it is no UTF-8.
    """
    return read_bytes(path, bounds.LARGEST_TEXT_FILE).decode("utf-8")


def read_json(path: str | Path) -> Any:
    """Read a file of JSON; NaN and infinities are left to who knows what they are.

    Raises:
      OSError: as `read_bytes` does.
      ValueError: if it is no JSON, or nested too deep.
    """
    try:
        return json.loads(read_text(path))
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def check_tree(folder: Path) -> None:
    """Want files and folders alone below a folder, for a library that opens them all.

    Raises:
      OSError: if there is anything else, such as a pipe.
    """
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if not path.is_file():
                raise OSError(f"{path} is not a regular file")

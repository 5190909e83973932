"""A lock on a work directory: one process writes to it."""

import os
import socket
import time
from pathlib import Path

from bqnn.errors import JournalError

try:
    import fcntl
except ImportError as error:
    raise JournalError("work directories need a POSIX system (Linux, macOS)") from error

# Seconds after which a lock that only `held` had taken is free again.
_INSTANT = 0.1


def take(path: Path) -> int:
    """Take a lock; the system frees it when this process dies.

    Args:
      path: of the lock's file, in the directory that it is for.

    Returns:
      A file descriptor: closing it frees the lock.

    Raises:
      JournalError: if another process holds it.
      OSError: if the file cannot be written.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    free = _lock(lock, fcntl.LOCK_EX)
    if not free:
        time.sleep(_INSTANT)
        free = _lock(lock, fcntl.LOCK_EX)
    if not free:
        holder = os.pread(lock, 200, 0).decode(errors="replace").strip()
        os.close(lock)
        raise JournalError(
            f"{path.parent} is in use by another process "
            f"({holder or 'just starting'}): wait for it, stop it, or use another "
            "--workdir"
        )
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"host {socket.gethostname()}, pid {os.getpid()}\n".encode(), 0)
    return lock


def held(path: Path) -> bool:
    """Tell whether a process holds the lock, on this host or another."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return not _lock(file.fileno(), fcntl.LOCK_SH)


def _lock(lock: int, kind: int) -> bool:
    """Try to take a lock of a kind; returns whether it was free."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""Files: guarded reading, atomic writing, locks, private directories.

Reading is guarded because others may have made the file: no file can block the reader
or fill its memory.
"""

import contextlib
import json
import lzma
import os
import secrets
import socket
import stat
import time
from pathlib import Path
from typing import Any, BinaryIO

from bqnn.errors import ConfigError, JournalError
from bqnn.schema import LARGEST_TEXT_FILE

# Seconds. `is_locked` holds a lock for less than this, so `take_lock` tries again.
_PROBE = 0.1


def open_file(path: str | Path) -> BinaryIO:
    """Open a regular file to read.

    Raises:
      OSError: if it cannot be opened, or is a folder, a pipe, a socket or a device.
    """
    try:
        # Without O_NONBLOCK, opening a pipe waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a NUL in its name
        raise OSError(str(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a regular file")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: str | Path, most: int) -> bytes:
    """Read a file of at most `most` bytes.

    Raises:
      OSError: as `open_file` does, or if the file is larger.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(f"has {size:,} bytes, want {most:,} at most")
        return file.read()


def read_text(path: str | Path) -> str:
    """Read a file of UTF-8, compressed if its name ends in `.xz`.

    Raises:
      OSError: as `read_bytes` does.
      ValueError: if it is not UTF-8, or damaged.
    """
    content = read_bytes(path, LARGEST_TEXT_FILE)
    if Path(path).suffix == ".xz":
        content = _decompressed(content, LARGEST_TEXT_FILE)
    return content.decode("utf-8")


def _decompressed(content: bytes, most: int) -> bytes:
    """Decompress xz; a small file may claim to hold terabytes."""
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=LARGEST_TEXT_FILE)
    try:
        data = decompressor.decompress(content, most)
    except lzma.LZMAError as error:
        raise ValueError(f"xz: {error}") from error
    if not decompressor.eof:
        raise ValueError(f"xz: it is cut off, or has more than {most:,} bytes")
    return data


def read_json(path: str | Path) -> Any:
    """Read a file of JSON. NaN and infinities pass: the caller's schema checks them.

    Raises:
      OSError: as `read_bytes` does.
      ValueError: if it is not JSON, or nested too deep.
    """
    try:
        return json.loads(read_text(path))
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def check_tree(folder: Path) -> None:
    """Check a folder before a library opens all that is in it.

    Raises:
      OSError: if it holds anything but regular files and folders, such as a pipe.
    """
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if not path.is_file():
                raise OSError(f"{path} is not a regular file")


def write_atomic(path: Path, data: bytes | str, durable: bool = True) -> None:
    """Replace a file as a whole: a reader sees the old content or the new one.

    Several processes may write the same file at once; the last one wins.

    Args:
      path: of the file, in a folder that exists.
      data: the new content; text is written as UTF-8.
      durable: whether the content survives a power failure once this returns.

    Raises:
      OSError: if the file cannot be written; the old one is intact.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def take_lock(path: Path) -> int:
    """Lock a work directory for this process; its death frees the lock.

    Args:
      path: of the lock file, which lies in the work directory.

    Returns:
      A file descriptor. Closing it frees the lock.

    Raises:
      JournalError: if another process holds the lock, or its file system has none.
      OSError: if the file cannot be written.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, lock)
        free = _try_lock(lock, path, exclusive=True)
        if not free:
            time.sleep(_PROBE)
            free = _try_lock(lock, path, exclusive=True)
        if not free:
            holder = os.pread(lock, 200, 0).decode(errors="replace").strip()
            raise JournalError(
                f"{path.parent} is in use by another process "
                f"({holder or 'just starting'}): wait for it, stop it, or use another "
                "--workdir"
            )
        os.ftruncate(lock, 0)
        name = f"host {socket.gethostname()}, pid {os.getpid()}\n"
        os.pwrite(lock, name.encode(), 0)
        undo.pop_all()
    return lock


def is_locked(path: Path) -> bool:
    """Tell whether a process holds the lock, on this host or another.

    Raises:
      JournalError: if its file system has no locks.
    """
    if not path.exists():
        return False
    with path.open("rb") as file:
        return not _try_lock(file.fileno(), path, exclusive=False)


def _try_lock(lock: int, path: Path, exclusive: bool) -> bool:
    """Return whether the lock was free, and is now held by this descriptor."""
    try:
        import fcntl
    except ImportError as error:
        raise JournalError(
            "work directories need a POSIX system (Linux, macOS)"
        ) from error
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise JournalError(
            f"{path.parent} is on a file system without locks ({error.strerror}): "
            "mount it with them (NFS: its lock service, Lustre: -o flock), or use "
            "another --workdir"
        ) from error
    return True


def make_private(directory: Path) -> None:
    """Make a directory of compiled programs that nobody else may write to.

    Programs are code: whoever writes them decides what runs here. A directory that
    cannot be made is no error, since nothing is read from it.

    Raises:
      ConfigError: if another user than this one and root owns the directory or may
        write to it.
    """
    with contextlib.suppress(OSError):
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
    try:
        found = directory.stat()
    except OSError:
        return
    if found.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            f"{directory}, where compiled programs are kept, belongs to "
            f"another user (uid {found.st_uid}), whose code would run here: use a "
            "directory of your own (--program_cache or JAX_COMPILATION_CACHE_DIR)"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"{directory}, where compiled programs are kept, may be written by "
            "other users, whose code would run here: remove it, or use another "
            "(--program_cache or JAX_COMPILATION_CACHE_DIR)"
        )

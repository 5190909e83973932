"""Files: atomic writes and locks."""

import errno
import fcntl
import lzma
import os
from pathlib import Path

import pytest

from bqnn import files
from bqnn.errors import JournalError
from bqnn.files import is_locked, take_lock, write_atomic


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_as_a_whole(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "file.txt"
    write_atomic(path, "first", durable)
    write_atomic(path, b"second", durable)
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.txt"
    write_atomic(path, "old")

    def full(descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_is_held_until_its_descriptor_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "journal.lock"
    assert not is_locked(path)
    lock = take_lock(path)
    assert is_locked(path)
    with pytest.raises(JournalError, match=f"in use .*pid {os.getpid()}"):
        take_lock(path)
    os.close(lock)
    assert not is_locked(path)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_one_line_and_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = len(os.listdir("/proc/self/fd"))
    for take in (take_lock, is_locked):
        with pytest.raises(JournalError, match=r"without locks \(.*Lustre: -o flock"):
            take(tmp_path / "journal.lock")
    assert len(os.listdir("/proc/self/fd")) == before


def test_xz_is_read_as_text_and_cannot_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.csv.xz"
    path.write_bytes(lzma.compress("a,é\n".encode(), preset=0))
    assert files.read_text(path) == "a,é\n"
    path.write_bytes(lzma.compress(bytes(3_000_000), preset=0))
    monkeypatch.setattr(files, "LARGEST_TEXT_FILE", 2_900_000)
    with pytest.raises(ValueError, match="xz: it is cut off, or has more than 2,900,0"):
        files.read_text(path)
    path.write_bytes(lzma.compress(b"a", preset=9))
    with pytest.raises(ValueError, match="xz: Memory usage limit"):
        files.read_text(path)

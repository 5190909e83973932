"""SQLite files that survive a kill: one writer, commits on the disk, clear errors."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from bqnn import files
from bqnn.errors import BqnnError, JournalError

_LONGEST = 100_000_000
"""Bytes of one value, which a damaged or malicious file may claim to be larger."""


def open_writer(
    path: Path, schema: str, version: int
) -> tuple[sqlite3.Connection, int]:
    """Open a file to write, creating it and its folder if need be.

    Args:
      path: of the file; its lock lies beside it.
      schema: statements that make what is not there yet.
      version: of the schema.

    Returns:
      The connection, and the file descriptor that holds the lock.

    Raises:
      JournalError: if another process has it open to write, or it cannot be opened.
    """
    with errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as undo:
            lock = files.take_lock(_lock_of(path))
            undo.callback(os.close, lock)
            connection = _connected(path)
            undo.callback(connection.close)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            _check(path, connection, version)
            with connection:
                connection.executescript(schema)
                connection.execute(f"PRAGMA user_version={version}")
            undo.pop_all()
    return connection, lock


def open_reader(path: Path, version: int) -> sqlite3.Connection:
    """Open a file to read, whether or not somebody writes to it.

    Raises:
      JournalError: if it cannot be read, or has a newer schema than `version`.
    """
    with errors(path):
        connection = _connected(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        _check(path, connection, version)
    return connection


def has_writer(path: Path) -> bool:
    """Tell whether a process has a file open to write.

    Raises:
      JournalError: if that cannot be found out.
    """
    with errors(path):
        return files.is_locked(_lock_of(path))


@contextlib.contextmanager
def errors(path: Path) -> Iterator[None]:
    """Turn what SQLite, the file system or a malformed fact raises into one line."""
    try:
        yield
    except JournalError:
        raise
    except sqlite3.Error as error:
        # A table or column that is missing has this code, and nothing else has.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if isinstance(error, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR:
            raise JournalError(
                f"{path}: {error}; what was recorded is safe: mend the cause (space, "
                "permissions) and run the same command again"
            ) from error
        raise JournalError(
            f"{path} is damaged or no journal ({error}): restore a copy of it"
        ) from error
    except OSError as error:
        raise JournalError(f"{path}: {error}") from error
    except (BqnnError, ValueError, OverflowError) as error:
        raise JournalError(
            f"{path} holds a malformed fact: {error}: restore a copy of it"
        ) from error


def _connected(path: Path | str, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(path, uri=uri)
    # Text that is not UTF-8 is refused by `facts.read`, which names row and column.
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    connection.text_factory = lambda text: text.decode(errors="surrogateescape")
    return connection


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")


def _check(path: Path, connection: sqlite3.Connection, newest: int) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > newest:
        raise JournalError(
            f"{path} has schema version {version}, this bqnn reads up to "
            f"{newest}: install the newer bqnn that wrote it"
        )
    # Views, triggers and virtual tables have no page of their own. They would run SQL
    # of the file's author.
    query = "SELECT type, name FROM sqlite_master WHERE coalesce(rootpage, 0) = 0"
    if strange := connection.execute(query).fetchone():
        raise JournalError(f"{path} holds a {' '.join(strange)}: it is no journal")
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise JournalError(f"{path} is damaged ({verdict}): restore a copy of it")

"""SQLite files that survive a kill: commits on the disk, clear errors.

Journals have one writer; stores may have several.
"""

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from bqnn import files
from bqnn.errors import BqnnError, JournalError, UnknownLayerError

_LONGEST = 100_000_000
"""Bytes of one value, which a damaged or malicious file may claim to be larger."""

_PATIENCE = 60.0
"""Seconds that a writer of a shared file waits for others, which need milliseconds."""


class Kind(NamedTuple):
    """What a file is, for messages.

    Attributes:
      name: of what it holds.
      cure: what to do when it is damaged.
      application_id: by which SQLite tells files of one program from others.
    """

    name: str
    cure: str
    application_id: int = 0


JOURNAL = Kind("journal", "restore a copy of it")


def open_writer(
    path: Path, schema: str, version: int, added: Iterable[tuple[str, str, str]] = ()
) -> tuple[sqlite3.Connection, int]:
    """Open a journal to write, creating it and its folder if need be.

    Args:
      path: of the file; its lock lies beside it.
      schema: statements that make what is not there yet.
      version: of the schema.
      added: table, name and declaration of the columns that earlier versions lack.

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
            _add_columns(connection, added)
            with connection:
                connection.executescript(schema)
                connection.execute(f"PRAGMA user_version={version}")
            undo.pop_all()
    return connection, lock


def open_shared(
    path: Path, schema: str, version: int, kind: Kind
) -> sqlite3.Connection:
    """Open a file that several processes of this machine read and write at once.

    Args:
      path: of the file. It and its folder are made if need be.
      schema: statements that make a new file.
      version: of the schema.
      kind: what the file is; other files are refused.

    Raises:
      JournalError: if it cannot be opened, or is another file.
    """
    with errors(path, kind):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make_shared(path, schema, version, kind)
        with contextlib.ExitStack() as undo:
            connection = _connected(path, timeout=_PATIENCE)
            undo.callback(connection.close)
            found = connection.execute("PRAGMA application_id").fetchone()[0]
            if found != kind.application_id:
                raise JournalError(f"{path} is no {kind.name}: {kind.cure}")
            _check(path, connection, version, kind)
            # A commit that a power failure takes costs one training, not the file.
            connection.execute("PRAGMA synchronous=NORMAL")
            undo.pop_all()
    return connection


def open_reader(path: Path, version: int) -> sqlite3.Connection:
    """Open a journal to read, whether or not somebody writes to it.

    Raises:
      JournalError: if it cannot be read, or has a newer schema than `version`.
    """
    with errors(path):
        connection = _connected(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        _check(path, connection, version)
    return connection


def has_writer(path: Path) -> bool:
    """Tell whether a process has a journal open to write.

    Raises:
      JournalError: if that cannot be found out.
    """
    with errors(path):
        return files.is_locked(_lock_of(path))


@contextlib.contextmanager
def errors(path: Path, kind: Kind = JOURNAL) -> Iterator[None]:
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
            f"{path} is damaged or no {kind.name} ({error}): {kind.cure}"
        ) from error
    except OSError as error:
        raise JournalError(f"{path}: {error}") from error
    except UnknownLayerError as error:
        raise JournalError(f"{path}: {error}") from error
    except (BqnnError, ValueError, OverflowError) as error:
        raise JournalError(
            f"{path} holds a malformed fact: {error}: {kind.cure}"
        ) from error


def _make_shared(path: Path, schema: str, version: int, kind: Kind) -> None:
    """Make a file under another name first: it is there as a whole, or not at all."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with contextlib.closing(sqlite3.connect(part)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(schema)
            connection.execute(f"PRAGMA user_version={version}")
            connection.execute(f"PRAGMA application_id={kind.application_id}")
        with contextlib.suppress(FileExistsError):  # another process was first
            os.link(part, path)
    finally:
        part.unlink(missing_ok=True)


def _connected(
    path: Path | str, uri: bool = False, timeout: float = 5.0
) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout, uri=uri)
    # Text that is not UTF-8 is refused by `facts.read`, which names row and column.
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    connection.text_factory = lambda text: text.decode(errors="surrogateescape")
    return connection


def _add_columns(
    connection: sqlite3.Connection, added: Iterable[tuple[str, str, str]]
) -> None:
    for table, column, declaration in added:
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        if names and column not in names:
            statement = f"ALTER TABLE {table} ADD COLUMN {column} {declaration}"
            connection.execute(statement)


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")


def _check(
    path: Path, connection: sqlite3.Connection, newest: int, kind: Kind = JOURNAL
) -> None:
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
        what = " ".join(strange)
        raise JournalError(f"{path} holds a {what}: it is no {kind.name}")
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise JournalError(f"{path} is damaged ({verdict}): {kind.cure}")

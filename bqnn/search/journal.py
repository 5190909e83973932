"""Journal: one SQLite file of facts, from which a search can be recovered.

Facts are added and never changed. A run directory has one writer at a time, and every
fact is on the disk before the search goes on, so a killed search loses nothing.
"""

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bqnn.config import dictionary
from bqnn.errors import JournalError
from bqnn.evaluation.records import OBJECTIVE, Candidate, Evaluation
from bqnn.search import calibration, facts, sqlite
from bqnn.search.history import Ask, Given, History, Round, Run, Tell, WarmStart
from bqnn.search.tables import Tables
from bqnn.space import nsc

SCHEMA_VERSION = 6
FILE_NAME = "journal.sqlite"

_SCHEMA = Path(__file__).with_name("journal.sql")

# What later versions have added to tables of before: (table, column, declaration).
_ADDED = tuple(
    (*place, f"TEXT NOT NULL DEFAULT {nothing}")
    for place, (_, nothing) in facts.NEW_COLUMNS.items()
)


class Journal:
    """An open journal. Use `create_or_open` to write and `open_readonly` to read."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int) -> None:
        """Take over an open connection and the lock's file descriptor (-1: none)."""
        self.path, self._connection, self._lock = path, connection, lock
        self._inode = path.stat().st_ino
        with sqlite.errors(path):
            self._tables = Tables(connection)

    def __enter__(self) -> "Journal":
        """Return the journal itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the journal and let go of its lock."""
        self._connection.close()
        if self._lock >= 0:
            os.close(self._lock)

    def start(self, run: Run) -> None:
        """Record the run, or check that it is the run recorded.

        Raises:
          JournalError: if the recorded run has another configuration (the fields are
            named) or other images.
        """
        with sqlite.errors(self.path):
            empty = not self._connection.execute("SELECT 1 FROM run").fetchone()
        if empty:
            self._write(
                "INSERT INTO run VALUES (1, ?, ?, ?, ?, ?)",
                [
                    (
                        json.dumps(dictionary.to_dict(run.config)),
                        json.dumps(run.images._asdict()),
                        run.fingerprint,
                        json.dumps(run.versions),
                        time.time(),
                    )
                ],
            )
            self._checkpoint()
            return
        recorded = self.run()
        changed = list(dictionary.differences(recorded.config, run.config))
        if changed:
            raise JournalError(
                f"{self.path.parent} holds a search with another configuration "
                f"({'; '.join(changed)}): use another --workdir, or the same values"
            )
        if recorded.fingerprint != run.fingerprint:
            names = recorded.fingerprint, run.fingerprint
            if any(name.startswith(OBJECTIVE) for name in names):
                old, new = (n if n.startswith(OBJECTIVE) else "images" for n in names)
                raise JournalError(
                    f"{self.path.parent} holds a search by {old}, not by {new}: use "
                    "the same, or another work directory"
                )
            raise JournalError(
                f"{self.path.parent}: the images of {run.config.data.name} are not "
                "those that the search began with: restore them, or use another "
                "--workdir"
            )

    def run(self) -> Run:
        """Read what the search depends on.

        Raises:
          JournalError: if nothing was recorded, or it cannot be read.
        """
        with sqlite.errors(self.path):
            row = next(self._tables.rows("run", facts.COLUMNS["run"]), None)
        if row is None:
            raise JournalError(f"{self.path} is empty: its search never began")
        return Run(*row)

    def add_given(self, given: Given, warm_start: WarmStart | None) -> None:
        """Record what the search is given before its first batch, in one transaction.

        Args:
          given: all of it.
          warm_start: the agent after it was told `given.learnt`, None if that is empty.
        """
        learnt = [
            (
                number,
                facts.storable(result.workdir),
                *facts.candidate_row(result.candidate),
                json.dumps(result.accuracy),
                json.dumps(result.candidate.latency),
            )
            for number, result in enumerate(given.learnt)
        ]
        first = [(n, nsc.format(block)) for n, block in enumerate(given.first)]
        starts = [(1, *warm_start, time.time())] if warm_start else []
        with self._writing():
            for table, rows in (
                ("learnt", learnt),
                ("tried_first", first),
                ("warm_start", starts),
            ):
                for row in rows:
                    marks = ", ".join("?" * len(row))
                    self._connection.execute(
                        f"INSERT INTO {table} VALUES ({marks})", row
                    )

    def given(self) -> Given | None:
        """Read what the search was given; None if it may still be given something.

        Raises:
          JournalError: if a fact makes no sense.
        """
        with sqlite.errors(self.path):
            given = self._tables.given()
            asked = self._connection.execute("SELECT 1 FROM asks").fetchone()
        return given if asked or given != Given() else None

    def add_ask(self, ask: Ask) -> None:
        """Record a batch asked, with its candidates, in one transaction."""
        with self._writing():
            self._connection.execute(
                "INSERT INTO asks VALUES (?, ?, ?, ?, ?, ?)",
                (*ask[:3], time.time(), *map(json.dumps, ask.standing)),
            )
            self._add_candidates(ask.candidates)

    def add_round(self, begun: Round) -> None:
        """Record a round of full trainings, with its candidates, in one transaction."""
        with self._writing():
            self._connection.execute(
                "INSERT INTO rounds VALUES (?, ?, ?)", (*begun[:2], time.time())
            )
            self._add_candidates(begun.candidates)

    def add_fit(self, ended: Round) -> None:
        """Record what a round came to."""
        fit = ended.fit and calibration.to_json(ended.fit)
        row = ended.number, json.dumps(fit), ended.digest, time.time()
        self._write("INSERT INTO fits VALUES (?, ?, ?, ?)", [row])

    def _add_candidates(self, candidates: Sequence[Candidate]) -> None:
        self._connection.executemany(
            f"INSERT INTO candidates VALUES ({', '.join('?' * 12)})",
            map(facts.asked_row, candidates),
        )

    def add_evaluation(
        self, candidate: Candidate, attempt: int, evaluation: Evaluation
    ) -> None:
        """Record an attempt at a candidate, counted from 1."""
        row = facts.evaluation_row(candidate, attempt, evaluation)
        source, repeats = evaluation.source, json.dumps(evaluation.repeats)
        values = *row, time.time(), facts.storable(source), repeats
        self._write(f"INSERT INTO evaluations VALUES ({', '.join('?' * 13)})", [values])

    def add_tell(self, tell: Tell) -> None:
        """Record a batch told."""
        row = tell.number, json.dumps(tell.ids), *tell[2:], time.time()
        self._write("INSERT INTO tells VALUES (?, ?, ?, ?, ?)", [row])
        self._checkpoint()

    def history(self) -> History:
        """Read every fact, in one transaction: a search may be writing.

        Raises:
          JournalError: if the file is damaged or a fact makes no sense.
        """
        with sqlite.errors(self.path), self._connection:
            self._connection.execute("BEGIN")
            return self._tables.history(self.run().config)

    def result_of(self, sha: str) -> Evaluation | None:
        """Find what is known of a block by its canonical hash (`records.is_known`).

        A search does not keep results in memory: there can be many.
        """
        with sqlite.errors(self.path):
            return self._tables.result_of(sha)

    def times(self) -> dict[tuple[int, int, int], float]:
        """Map iteration, slot and attempt to when it was recorded (seconds, 1970)."""
        with sqlite.errors(self.path):
            rows = self._tables.rows(
                "evaluations", ("iteration", "slot", "attempt", "time")
            )
            return {(row[0], row[1], row[2]): row[3] for row in rows}

    def began(self) -> bool:
        """Tell whether a search has recorded what it depends on."""
        with sqlite.errors(self.path):
            tables = "SELECT 1 FROM sqlite_master WHERE name = 'run'"
            made = self._connection.execute(tables).fetchone()
            return bool(
                made and self._connection.execute("SELECT 1 FROM run").fetchone()
            )

    def _write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        with self._writing():
            self._connection.executemany(statement, rows)

    def _checkpoint(self) -> None:
        """Move what was written from the log beside the file into the file itself.

        SQLite would do so after 4 MB, which is more than most searches write: a copy of
        the file alone would be empty.
        """
        with sqlite.errors(self.path):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Write in one transaction, into the file that has this journal's name.

        A file that was removed or moved takes what is written, and loses it.
        """
        with sqlite.errors(self.path):
            try:
                there = self.path.stat().st_ino == self._inode
            except FileNotFoundError:
                there = False
            if not there:
                raise JournalError(
                    f"{self.path} was removed or moved while it was written to: put "
                    "it back, with the files beside it, and run the same command again"
                )
            with self._connection:
                yield


def create_or_open(workdir: Path) -> Journal:
    """Open the journal of `workdir` to write, creating both if need be.

    Raises:
      JournalError: if another process has it open to write, or it cannot be opened.
    """
    path = workdir / FILE_NAME
    schema = _SCHEMA.read_text(encoding="utf-8")
    connection, lock = sqlite.open_writer(path, schema, SCHEMA_VERSION, _ADDED)
    return Journal(path, connection, lock)


def has_writer(workdir: Path) -> bool:
    """Tell whether a search is running in `workdir`, on this host or another.

    Raises:
      JournalError: if that cannot be found out.
    """
    return sqlite.has_writer(workdir / FILE_NAME)


def open_readonly(workdir: Path) -> Journal:
    """Open the journal of `workdir` to read; a search may be writing to it.

    Raises:
      JournalError: if there is none, or it cannot be read.
    """
    path = workdir / FILE_NAME
    if not path.is_file():
        raise JournalError(
            f"{workdir} has no {FILE_NAME}: want the --workdir of a search"
        )
    return Journal(path, sqlite.open_reader(path, SCHEMA_VERSION), -1)

"""Tables of a journal: every row is checked by `facts` as it is read.

Versions before 6 have fewer tables and columns; what they lack reads as nothing.
"""

import dataclasses
import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bqnn.config import Config, schedule
from bqnn.evaluation.records import Candidate, Evaluation, Standing, Status, is_known
from bqnn.schema import FactError
from bqnn.search import consistency, facts
from bqnn.search.history import (
    Ask,
    Attempts,
    Given,
    History,
    Learnt,
    Round,
    Tell,
    WarmStart,
)


class Tables:
    """The tables of an open journal. All methods raise a `FactError` at nonsense."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read through `connection`."""
        self._connection = connection
        self._version = connection.execute("PRAGMA user_version").fetchone()[0]

    def rows(
        self,
        table: str,
        columns: Iterable[str],
        rest: str = "",
        values: Sequence[Any] = (),
    ) -> Iterator[list[Any]]:
        """Read columns of a table, each as `facts` wants it."""
        names = tuple(columns)
        stored = ", ".join(self._stored(table, name) for name in names)
        statement = f"SELECT {stored} FROM {table} {rest}"
        for row in self._connection.execute(statement, values):
            yield facts.read(table, names, row)

    def _stored(self, table: str, name: str) -> str:
        """Name a column, or what stands for it in a journal of before there was one."""
        version, nothing = facts.NEW_COLUMNS.get((table, name), (0, ""))
        return name if self._version >= version else f"{nothing} AS {name}"

    def select(self, table: str) -> Iterator[list[Any]]:
        """Read a table in the order of its keys."""
        if self._version < facts.NEW_TABLES.get(table, 0):
            return iter(())
        keys = ", ".join(facts.KEYS[table])
        order = f"ORDER BY {keys}" if keys else ""
        return self.rows(table, facts.COLUMNS[table], order)

    def numbered(self, table: str) -> Iterator[list[Any]]:
        """Read a table whose rows are numbered from 0, without the numbers."""
        for want, row in enumerate(self.select(table)):
            if row[0] != want:
                where = facts.row_name(table, row)
                raise FactError(f"{where}: it is out of order: want {want}")
            yield row[1:]

    def given(self) -> Given:
        """Read what the search was given."""
        learnt = tuple(
            Learnt(workdir, _candidate(*candidate, latency, 0), accuracy)
            for workdir, *candidate, accuracy, latency in self.numbered("learnt")
        )
        return Given(learnt, tuple(block for (block,) in self.numbered("tried_first")))

    def history(self, config: Config) -> History:
        """Read all that happened, and check that it agrees."""
        batches: dict[int, list[Candidate]] = {}
        for row in self.select("candidates"):
            batches.setdefault(row[0], []).append(_candidate(*row))
        history = History(
            self._asks(batches),
            self.attempts(),
            tuple(Tell(*row) for row in self.select("tells")),
            self.given(),
            self._rounds(batches, config),
            next((WarmStart(*row) for row in self.select("warm_start")), None),
        )
        for iteration in batches:
            raise FactError(f"table candidates: batch {iteration} was never asked")
        consistency.check(config, history)
        return history

    def _asks(self, batches: dict[int, list[Candidate]]) -> tuple[Ask, ...]:
        """Read the batches asked; takes their candidates from `batches`."""
        asks = []
        for iteration, told, epsilon, *reach in self.select("asks"):
            batch, standing = batches.pop(iteration, []), Standing(*reach)
            if standing != Standing((), None):
                known = standing._asdict()
                batch = [dataclasses.replace(c, **known) for c in batch]
            asks.append(Ask(iteration, told, epsilon, tuple(batch)))
        return tuple(asks)

    def _rounds(
        self, batches: dict[int, list[Candidate]], config: Config
    ) -> tuple[Round, ...]:
        """Read the rounds; takes their candidates from `batches`."""
        iterations = schedule.parse(config.agent.schedule).iterations
        epochs, rounds = config.reward.full_epochs, []
        fits = self.numbered("fits")
        for number, (told,) in enumerate(self.numbered("rounds")):
            batch = batches.pop(iterations + number, [])
            full = tuple(dataclasses.replace(c, epochs=epochs) for c in batch)
            rounds.append(Round(number, told, full, *next(fits, ())))
        return tuple(rounds)

    def attempts(self) -> Attempts:
        """Read all evaluations, by candidate."""
        attempts: Attempts = {}
        for row in self.select("evaluations"):
            candidate_id, number = (row[0], row[1]), row[2]
            earlier = attempts.get(candidate_id, ())
            if number != len(earlier) + 1:
                where = facts.row_name("evaluations", row)
                raise FactError(f"{where}: want attempt {len(earlier) + 1} before it")
            attempts[candidate_id] = (*earlier, Evaluation(*row[3:12]))
        return attempts

    def result_of(self, sha: str) -> Evaluation | None:
        """Find what is known of a block, as `Journal.result_of` says.

        What was reused counts if it came from another search: the journal must do
        without that.
        """
        rows = self.rows(
            "evaluations",
            facts.COLUMNS["evaluations"],
            "JOIN candidates USING (iteration, slot) WHERE hash = ? "
            "AND (status != ? OR source != '') ORDER BY iteration, slot, attempt",
            (sha, Status.REUSED.value),
        )
        for _, twin in itertools.groupby(rows, key=lambda row: row[:2]):
            attempts = [Evaluation(*row[3:12]) for row in twin]
            if is_known([attempt.status for attempt in attempts]):
                return attempts[-1]
        return None


def _candidate(*columns: Any) -> Candidate:
    """Make a candidate of its columns, latency and draw last."""
    *known, latency, draw = columns
    return dataclasses.replace(Candidate(*known), latency=latency, draw=draw)

"""A search as its journal has it: what tables, pages and figures are made of."""

from pathlib import Path
from typing import NamedTuple

from bqnn.report import rows, series
from bqnn.report.rows import Row, Times
from bqnn.report.series import Point
from bqnn.search import journal
from bqnn.search.history import History, Run
from bqnn.search.problem import Problem, make_problem


class Record(NamedTuple):
    """What the journal of a search held when it was read.

    Attributes:
      run: what the whole search depends on.
      problem: the search, bound to its configuration.
      history: what was asked, evaluated and told.
      times: when each attempt was recorded.
    """

    run: Run
    problem: Problem
    history: History
    times: Times

    def rows(self) -> list[Row]:
        """List every final evaluation, ready for `pandas.DataFrame`."""
        return rows.rows(self.problem, self.history, self.times)

    def points(self) -> list[Point]:
        """Sum up every iteration, ready for `pandas.DataFrame`."""
        return series.series(self.history, self.rows())


def read(workdir: Path | str, last: Record | None = None) -> Record | None:
    """Read the journal of a work directory; its search may be running.

    >>> rows = bqnn.read("runs/quickstart").rows()

    Args:
      workdir: of the search.
      last: what was read of it before; this is then sooner done.

    Returns:
      What it holds, or None if the search has not begun.

    Raises:
      JournalError: if there is no journal, or it cannot be read.
    """
    with journal.open_readonly(Path(workdir)) as facts:
        if not facts.began():
            return None
        run, history, times = facts.run(), facts.history(), facts.times()
    problem = last.problem if last else make_problem(run.config, run.images)
    return Record(run, problem, history, times)

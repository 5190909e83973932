"""Record of a search: its journal, read at one moment. Tables and pages show it."""

from pathlib import Path
from typing import NamedTuple

from bqnn.report import rows, series
from bqnn.report.rows import EvaluationRow, Times
from bqnn.report.series import IterationStats
from bqnn.search import journal
from bqnn.search.events import Asked, Event, Told
from bqnn.search.history import History, Run
from bqnn.search.problem import Problem, make_problem
from bqnn.search.settled import evaluated
from bqnn.search.summary import Summary, update


class Record(NamedTuple):
    """The content of a search's journal when it was read.

    Attributes:
      run: configuration, images and versions of the search.
      problem: the search, bound to its configuration.
      history: all batches asked, attempts and batches told.
      times: when each attempt was recorded.
    """

    run: Run
    problem: Problem
    history: History
    times: Times

    def rows(self) -> list[EvaluationRow]:
        """List every settled evaluation, ready for `pandas.DataFrame`."""
        return rows.rows(self.problem, self.history, self.times)

    def points(self) -> list[IterationStats]:
        """Sum up every iteration, ready for `pandas.DataFrame`."""
        return series.series(self.history, self.rows())


def read(workdir: Path | str, last: Record | None = None) -> Record | None:
    """Read the journal of a work directory; its search may be running.

    >>> rows = bqnn.read("runs/quickstart").rows()

    Args:
      workdir: of the search.
      last: an earlier record of it, whose problem is used again.

    Returns:
      The record, or None if the search has not begun.

    Raises:
      JournalError: if there is no journal, or it cannot be read.
    """
    with journal.open_readonly(Path(workdir)) as facts:
        if not facts.began():
            return None
        run, history, times = facts.run(), facts.history(), facts.times()
    problem = last.problem if last else make_problem(run.config, run.images)
    return Record(run, problem, history, times)


def summarize(problem: Problem, history: History) -> Summary:
    """Sum a journal up without asking its agent again."""
    summary = Summary(problem.iterations, problem.config.search.batch)
    asked = [Asked(ask.iteration, ask.epsilon, recorded=True) for ask in history.asks]
    told = [Told(tell.number, tell.digest, recorded=True) for tell in history.tells]
    events: list[Event] = [*asked, *evaluated(problem, history), *told]
    for event in events:
        summary = update(summary, event)
    return summary

"""Which blocks of a search to train to convergence, and how well it ranked them."""

from pathlib import Path
from typing import NamedTuple

from bqnn import journal
from bqnn.config import Config
from bqnn.errors import SearchError
from bqnn.events import Evaluated
from bqnn.fold import fold
from bqnn.problem import make_problem
from bqnn.report import summary as summary_lib
from bqnn.report.summary import Summary


class Found(NamedTuple):
    """What a search found.

    Attributes:
      config: of the search.
      best: its best candidates by reward, one per canonical block, best first.
    """

    config: Config
    best: tuple[Evaluated, ...]


def best_of(search: Path, count: int) -> Found:
    """Read the best candidates of a search, which may still be running.

    Args:
      search: its work directory.
      count: how many.

    Raises:
      JournalError: if there is no search.
      SearchError: if it has not as many.
    """
    with journal.open_readonly(search) as facts:
        run, history = facts.run(), facts.history()
    work = make_problem(run.config, run.images)
    summary = Summary(work.iterations, run.config.search.batch, top=count)
    for event in fold(work, history):
        summary = summary_lib.update(summary, event)
    if len(summary.best) < count:
        raise SearchError(
            f"{search}: rank {count} was asked for, but only {len(summary.best)} "
            "different blocks were trained"
        )
    return Found(run.config, summary.best)

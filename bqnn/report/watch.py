"""A search seen from outside, by its journal alone: a dashboard for the terminal."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bqnn.events import Asked, Event, Told
from bqnn.fold import evaluated
from bqnn.history import History
from bqnn.problem import Problem
from bqnn.records import Status
from bqnn.report import summary as summary_lib
from bqnn.report import tables
from bqnn.report.progress import duration
from bqnn.report.rows import Row
from bqnn.report.summary import Summary

RECENT = 600.0
"""Seconds over which the rate of a search is taken."""


class WorkerState(NamedTuple):
    """What is known of a worker.

    Attributes:
      name: of the worker.
      done: evaluations that it ended.
      mean: seconds that one took.
      last: the last of them.
    """

    name: str
    done: int
    mean: float
    last: Row


def summarize(work: Problem, history: History) -> Summary:
    """Fold a journal without asking its agent again."""
    summary = Summary(work.iterations, work.config.search.batch)
    for event in _events(work, history):
        summary = summary_lib.update(summary, event)
    return summary


def workers(rows: Sequence[Row]) -> list[WorkerState]:
    """Tell what each worker did last, by name; results that were reused have none."""
    by_name: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.finished):
        if row.status != Status.REUSED:
            by_name.setdefault(row.worker, []).append(row)
    return [
        WorkerState(name, len(own), sum(r.seconds for r in own) / len(own), own[-1])
        for name, own in sorted(by_name.items())
    ]


def rate(rows: Sequence[Row], now: float) -> float:
    """Return evaluations per minute over the last ten minutes, or since the first.

    Args:
      rows: the evaluations.
      now: in seconds since 1970.
    """
    if not rows:
        return 0.0
    since = max(now - RECENT, min(row.finished - row.seconds for row in rows))
    recent = sum(row.finished >= since for row in rows)
    return 60 * recent / max(now - since, 1e-9)


def dashboard(
    title: str, summary: Summary, rows: Sequence[Row], pending: int, now: float
) -> RenderableType:
    """Lay out where a search stands.

    Args:
      title: of the dashboard.
      summary: of the search.
      rows: its evaluations.
      pending: candidates that were asked and have no result.
      now: in seconds since 1970.
    """
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(summary.total, summary.done, width=40),
        f"{summary.done}/{summary.total}",
    )
    parts: list[RenderableType] = [
        Text(title, style="bold"),
        bar,
        Text(_state(summary, rows, pending, now)),
    ]
    if summary.best:
        parts.append(tables.best_blocks(summary.best))
    parts.append(_worker_table(workers(rows), now))
    if summary.failures or summary.retries:
        parts.append(tables.outcomes(summary))
    return Group(*parts)


def _events(work: Problem, history: History) -> Iterator[Event]:
    for ask in history.asks:
        yield Asked(ask.iteration, ask.epsilon, recorded=True)
    yield from evaluated(work, history)
    for tell in history.tells:
        yield Told(tell.number, tell.digest, recorded=True)


def _state(summary: Summary, rows: Sequence[Row], pending: int, now: float) -> str:
    told = f"iteration {summary.told}/{summary.iterations}"
    if summary.complete:
        return f"{told}: complete, digest {summary.digest[:16]}"
    epsilon = "-" if summary.epsilon is None else f"{summary.epsilon:g}"
    per_minute = rate(rows, now)
    left = "-"
    if per_minute:
        left = duration((summary.total - summary.done) / per_minute * 60)
    last = max((row.finished for row in rows), default=None)
    heard = "no result yet" if last is None else f"last result {_ago(now - last)} ago"
    return (
        f"{told}, epsilon {epsilon}, {pending} in training or waiting, "
        f"{per_minute:.1f} candidates/min, {left} left, {heard}"
    )


def _worker_table(states: Sequence[WorkerState], now: float) -> Table:
    table = Table(title="Workers", title_justify="left")
    table.add_column("worker")
    for name in ("done", "seconds each", "last result"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("of", overflow="fold", ratio=1)
    for state in states:
        table.add_row(
            escape(state.name) or "-",
            str(state.done),
            f"{state.mean:.1f}",
            f"{state.last.status}, {_ago(now - state.last.finished)} ago",
            state.last.block,
        )
    return table


def _ago(seconds: float) -> str:
    return f"{max(0, round(seconds))} s" if seconds < 60 else duration(seconds)

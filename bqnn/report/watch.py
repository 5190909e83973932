"""Dashboard of a search for the terminal, from its journal and workers.json alone."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bqnn.evaluation.records import Status
from bqnn.executors import activity
from bqnn.executors.activity import Activity
from bqnn.report.block_tables import NetworkSetting, best_blocks, outcomes
from bqnn.report.foreign import foreign
from bqnn.report.progress import bar, rate_line
from bqnn.report.record import Record, summarize
from bqnn.report.rows import EvaluationRow
from bqnn.report.table import duration, folded, make_table, numbers
from bqnn.search import journal
from bqnn.search.summary import Summary

_NUMBERED = re.compile(r"(\D*)(\d*)")

RECENT = 600.0
"""Seconds: the rate of a search is a mean over them."""

SHOWN = 16
"""Workers that the dashboard lists: those with the longest current task."""


class View(NamedTuple):
    """State of a search at one moment.

    Attributes:
      title: of the dashboard.
      summary: of the search.
      rows: its evaluations.
      pending: number of candidates asked that have no result.
      running: whether a search is running.
      activities: current tasks of its workers, as it last wrote them.
      setting: the networks that blocks are put into.
    """

    title: str
    summary: Summary
    rows: Sequence[EvaluationRow]
    pending: int
    running: bool
    activities: Sequence[Activity] = ()
    setting: NetworkSetting | None = None


class WorkerState(NamedTuple):
    """State of a worker.

    Attributes:
      name: of the worker.
      now: its current task; None if it has stopped.
      done: number of evaluations that it ended.
      mean: seconds per evaluation; None if it ended none.
      last: the last evaluation that it ended.
    """

    name: str
    now: Activity | None
    done: int
    mean: float | None
    last: EvaluationRow | None


def view_of(workdir: Path, record: Record) -> View:
    """Collect the state of a search at this moment.

    Args:
      workdir: of the search.
      record: its journal, as it was read.

    Raises:
      JournalError: if the lock of the journal cannot be tested.
    """
    summary = summarize(record.problem, record.history)
    running, problem = journal.has_writer(workdir), record.problem
    return View(
        str(workdir),
        summary,
        record.rows(),
        sum(len(ask.candidates) for ask in record.history.asks) - summary.done,
        running,
        activity.read(workdir) if running else [],
        NetworkSetting(problem.config.network, problem.images),
    )


def workers(
    rows: Sequence[EvaluationRow], activities: Sequence[Activity]
) -> list[WorkerState]:
    """List the state of each worker, by name; a reused result is nobody's work."""
    by_name: dict[str, list[EvaluationRow]] = {a.worker: [] for a in activities}
    for row in sorted(rows, key=lambda row: row.finished):
        if row.status != Status.REUSED:
            by_name.setdefault(row.worker, []).append(row)
    now = {activity.worker: activity for activity in activities}
    return [
        WorkerState(
            name,
            now.get(name),
            len(own),
            sum(row.seconds for row in own) / len(own) if own else None,
            own[-1] if own else None,
        )
        for name, own in sorted(by_name.items(), key=lambda item: _natural(item[0]))
    ]


def rate(rows: Sequence[EvaluationRow], now: float) -> float:
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


def dashboard(view: View, now: float) -> RenderableType:
    """Lay out the state of a search.

    Args:
      view: the state.
      now: in seconds since 1970.
    """
    summary = view.summary
    parts: list[RenderableType] = [
        foreign(view.title, "bold"),
        bar(summary),
        Text(_state(view, now)),
    ]
    if summary.best:
        parts.append(best_blocks(summary.best, setting=view.setting))
    parts.append(_worker_table(workers(view.rows, view.activities), now))
    if summary.failures or summary.retries:
        parts.append(outcomes(summary))
    return Group(*parts)


def _state(view: View, now: float) -> str:
    summary, rows = view.summary, view.rows
    told = f"iteration {summary.told}/{summary.iterations}"
    if summary.complete:
        return f"{told}: complete, digest {summary.digest[:16]}"
    epsilon = "-" if summary.epsilon is None else f"{summary.epsilon:g}"
    last = max((row.finished for row in rows), default=None)
    heard = "no result yet" if last is None else f"last result {_ago(now - last)} ago"
    if not view.running:
        return (
            f"{told}, epsilon {epsilon}, not running, {view.pending} to be trained "
            f"again, {heard}: the same launch.search goes on"
        )
    training = sum(bool(activity.block) for activity in view.activities)
    return (
        f"{told}, epsilon {epsilon}, {training} in training, "
        f"{max(0, view.pending - training)} waiting, "
        f"{rate_line(summary, rate(rows, now))}, {heard}"
    )


def _worker_table(states: Sequence[WorkerState], now: float) -> Table:
    doing = Counter(_doing(state.now) for state in states)
    counts = ", ".join(f"{count} {what}" for what, count in doing.most_common())
    title = f"Workers: {counts}" if states else "Workers: none yet"
    longest = sorted(states, key=_since)[:SHOWN]
    table = make_table(
        title,
        [
            "worker",
            *numbers("now", "done", "seconds each", "last result"),
            folded("block"),
        ],
        (_worker_cells(state, now) for state in states if state in longest),
    )
    if len(states) > SHOWN:
        table.caption = f"the {SHOWN} that do the same for the longest time"
    return table


def _worker_cells(state: WorkerState, now: float) -> tuple[str | Text, ...]:
    doing, last, block = _doing(state.now), "-", ""
    if state.last:
        last = f"{state.last.status}, {_ago(now - state.last.finished)} ago"
        block = state.last.block
    if state.now:
        doing = f"{doing} for {_ago(now - state.now.since)}"
        block = state.now.block or block
    return (
        foreign(state.name or "-"),
        doing,
        str(state.done),
        "-" if state.mean is None else f"{state.mean:.1f}",
        last,
        block,
    )


def _doing(activity: Activity | None) -> str:
    """Name the current task of a worker in a word."""
    if activity is None:
        return "stopped"
    if activity.block:
        return "training"
    return "idle" if activity.ready else "starting"


def _since(state: WorkerState) -> float:
    """Sort by the start of the current task; workers that stopped come last."""
    return state.now.since if state.now else float("inf")


def _natural(name: str) -> list[tuple[str, int]]:
    """Sort names by the numbers in them: `worker 9` before `worker 10`."""
    return [(text, int(digits or 0)) for text, digits in _NUMBERED.findall(name)]


def _ago(seconds: float) -> str:
    return f"{max(0, round(seconds))} s" if seconds < 60 else duration(seconds)

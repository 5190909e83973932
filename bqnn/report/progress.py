"""Progress of a running search: live in a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import Progress, TimeElapsedColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bqnn.engines.progress import WarmUpProgress
from bqnn.evaluation.records import Evaluation
from bqnn.report.foreign import foreign
from bqnn.report.table import duration
from bqnn.search.calibration import Fit
from bqnn.search.events import (
    Evaluated,
    Event,
    Refitted,
    Retried,
    Told,
    TrainedInFull,
)
from bqnn.search.summary import Summary, headline, update


class Display:
    """Shows a search as it goes: a panel in a terminal, a line per event elsewhere.

    A context manager.

    Attributes:
      summary: of the events shown.
    """

    def __init__(self, console: Console, iterations: int, batch: int) -> None:
        """Start with nothing shown."""
        self.summary = Summary(iterations, batch)
        self._console = console
        self._start = time.monotonic()
        self._live = Live(console=console, get_renderable=self._panel)

    def show(self, event: Event) -> None:
        """Take in one event; a recorded one is counted, and has no line."""
        self.summary = update(self.summary, event)
        if event.recorded or self._console.is_terminal:
            return
        if isinstance(event, Told):
            self._print(self._status())
        elif isinstance(event, Evaluated):
            self._print(f"{self.summary.done}/{self.summary.total} {_outcome(event)}")
        elif isinstance(event, TrainedInFull):
            result = _result(event.evaluation)
            self._print(f"in full: {event.candidate.block}, {result}")
        elif isinstance(event, Refitted) and event.fit:
            self._print(reward_line(event.fit))
        elif isinstance(event, Retried):
            status, cause = event.evaluation.status, headline(event.evaluation)
            self._print(f"again: {event.candidate.block}, {status}: {cause}")

    def _print(self, line: str) -> None:
        self._console.print(foreign(line), soft_wrap=True)

    def _status(self) -> str:
        return status_line(self.summary, time.monotonic() - self._start)

    def _panel(self) -> RenderableType:
        best = "best: none yet"
        if self.summary.best:
            event = self.summary.best[0]
            best = f"best: reward {event.reward:.4f}  {event.candidate.block}"
        lines = [self._status(), *_failures(self.summary), best]
        return Group(bar(self.summary), *map(Text, lines))

    def __enter__(self) -> Self:
        """Begin to draw the panel."""
        if self._console.is_terminal:
            self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Draw it once more, and stop."""
        self._live.stop()


def track_start(
    console: Console, progress: Iterator[WarmUpProgress], shown_after: float = 1.0
) -> Iterator[WarmUpProgress]:
    """Pass on the progress of an executor's start; show it if it takes long.

    Args:
      console: to show it on.
      progress: as `Executor.start` yields it.
      shown_after: seconds during which nothing is shown.
    """
    start = time.monotonic()
    columns = (*Progress.get_default_columns()[:3], TimeElapsedColumn())
    shown = Progress(*columns, console=console, transient=True)
    task = shown.add_task("loading or compiling layer programs")
    try:
        for state in progress:
            shown.update(task, completed=state.done, total=state.total)
            if not shown.live.is_started and time.monotonic() - start > shown_after:
                shown.start()
            yield state
    finally:
        shown.stop()
    spent = time.monotonic() - start
    if spent > shown_after:
        console.print(f"workers and layer programs were ready after {duration(spent)}")


def bar(summary: Summary) -> RenderableType:
    """Draw the share of evaluations that are done."""
    grid = Table.grid(padding=(0, 1))
    done = ProgressBar(summary.total, summary.done, width=40)
    grid.add_row(done, f"{summary.done}/{summary.total}")
    return grid


def status_line(summary: Summary, seconds: float) -> str:
    """Write the state of a search on one line.

    Args:
      summary: its numbers.
      seconds: since this process started.
    """
    epsilon = "-" if summary.epsilon is None else f"{summary.epsilon:g}"
    per_minute = summary.fresh / seconds * 60 if seconds > 0 else 0.0
    best = f"{summary.best[0].reward:.4f}" if summary.best else "-"
    stopped = f"stopped {summary.stopped}, " if summary.stopped else ""
    return (
        f"iteration {summary.told}/{summary.iterations}, epsilon {epsilon}, "
        f"done {summary.done}, reused {summary.reused}, {stopped}"
        f"failed {summary.failed}, "
        f"best reward {best}, {rate_line(summary, per_minute)}"
    )


def rate_line(summary: Summary, per_minute: float) -> str:
    """Write the rate of a search in candidates per minute, and the time left at it."""
    left = "-"
    if per_minute > 0:
        left = duration((summary.total - summary.done) / per_minute * 60)
    return f"{per_minute:.1f} candidates/min, {left} left"


def _outcome(event: Evaluated) -> str:
    """Write the result of an evaluation on one line."""
    line = f"{event.candidate.block} reward {event.reward:.4f}"
    return f"{event.evaluation.status}: {line}, {_result(event.evaluation)}"


def _result(evaluation: Evaluation) -> str:
    if evaluation.accuracy:
        count = 1 + len(evaluation.repeats)
        mean = f" (the mean of {count})" if count > 1 else ""
        return f"accuracy {evaluation.final:.2%}{mean}"
    return headline(evaluation)


def reward_line(fit: Fit) -> str:
    """Say what a search has learnt of its reward."""
    ends = zip(fit.terms, fit.weights, fit.low, fit.high, strict=True)
    weights = (
        f"{name} {w:.3g} ({low:.3g} to {high:.3g})" for name, w, low, high in ends
    )
    return (
        f"the reward foretells full trainings, by {fit.blocks} of them: "
        f"{', '.join(weights)}"
    )


def _failures(summary: Summary) -> list[str]:
    """List failures and repeats, a line per status."""
    return [
        f"{status}: {summary.failures.get(status, 0)}, tried again: "
        f"{summary.retries.get(status, 0)}; {summary.causes.get(status, '')}"
        for status in sorted({*summary.failures, *summary.retries})
    ]

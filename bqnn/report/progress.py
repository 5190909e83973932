"""Progress of a running search: live in a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import Progress, TimeElapsedColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bqnn.engines.warmup import Progress as WarmUp
from bqnn.evaluation.records import Evaluation
from bqnn.report.foreign import foreign
from bqnn.report.table import duration
from bqnn.search.events import Evaluated, Event, Retried, Told
from bqnn.search.summary import Summary, headline, update


class Display(Protocol):
    """Shows events as they come; a context manager."""

    summary: Summary

    def show(self, event: Event) -> None:
        """Take in one event."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(self, *_: object) -> None:
        """Stop showing."""


def make_display(console: Console, iterations: int, batch: int) -> Display:
    """Make the display that suits `console`."""
    kind = LiveDisplay if console.is_terminal else PlainDisplay
    return kind(console, Summary(iterations, batch))


class PlainDisplay:
    """A line per new evaluation and per batch told."""

    def __init__(self, console: Console, summary: Summary) -> None:
        """Start with nothing shown."""
        self.summary = summary
        self._console = console
        self._start = time.monotonic()

    def show(self, event: Event) -> None:
        """Take in one event; recorded events are counted, not printed."""
        self.summary = update(self.summary, event)
        if event.recorded:
            return
        if isinstance(event, Told):
            self._print(status_line(self.summary, time.monotonic() - self._start))
        elif isinstance(event, Evaluated):
            self._print(f"{self.summary.done}/{self.summary.total} {_outcome(event)}")
        elif isinstance(event, Retried):
            self._print(f"again: {event.candidate.block}, {_problem(event.evaluation)}")

    def _print(self, line: str) -> None:
        self._console.print(foreign(line), soft_wrap=True)

    def __enter__(self) -> Self:
        """Return the display."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave what was printed."""


class LiveDisplay:
    """A panel that redraws itself."""

    def __init__(self, console: Console, summary: Summary) -> None:
        """Prepare the panel."""
        self.summary = summary
        self._start = time.monotonic()
        self._live = Live(console=console, get_renderable=self._render)

    def show(self, event: Event) -> None:
        """Take in one event."""
        self.summary = update(self.summary, event)

    def _render(self) -> RenderableType:
        seconds = time.monotonic() - self._start
        lines = [status_line(self.summary, seconds), *_problems(self.summary)]
        return Group(bar(self.summary), *map(Text, lines), self._best())

    def _best(self) -> Text:
        if not self.summary.best:
            return Text("best: none yet")
        best = self.summary.best[0]
        return Text(f"best: reward {best.reward:.4f}  {best.candidate.block}")

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Draw once more, and stop."""
        self._live.stop()


def track_start(
    console: Console, progress: Iterator[WarmUp], shown_after: float = 1.0
) -> Iterator[WarmUp]:
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
    left = "-"
    if per_minute > 0:
        left = duration((summary.total - summary.done) / per_minute * 60)
    best = f"{summary.best[0].reward:.4f}" if summary.best else "-"
    return (
        f"iteration {summary.told}/{summary.iterations}, epsilon {epsilon}, "
        f"done {summary.done}, reused {summary.reused}, failed {summary.failed}, "
        f"best reward {best}, {per_minute:.1f} candidates/min, {left} left"
    )


def _outcome(event: Evaluated) -> str:
    """Write the result of an evaluation on one line."""
    evaluation = event.evaluation
    line = f"{evaluation.status}: {event.candidate.block} reward {event.reward:.4f}"
    if evaluation.accuracy:
        return f"{line}, accuracy {evaluation.accuracy[-1]:.2%}"
    return f"{line}, {headline(evaluation)}"


def _problem(evaluation: Evaluation) -> str:
    return f"{evaluation.status}: {headline(evaluation)}"


def _problems(summary: Summary) -> list[str]:
    """List failures and repeats, a line per status."""
    return [
        f"{status}: {summary.failures.get(status, 0)}, tried again: "
        f"{summary.retries.get(status, 0)}; {summary.causes.get(status, '')}"
        for status in sorted({*summary.failures, *summary.retries})
    ]

"""Watch a search in the terminal, from outside: running, stopped or finished.

  python -m launch.watch --workdir=runs/first

Reads the journal alone, and disturbs nobody. Ctrl-C ends watching, not the search.
Where there is no terminal, prints the state once.
"""

import time
from pathlib import Path

from absl import flags
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from bqnn import journal
from bqnn.problem import Problem, make_problem
from bqnn.report import watch
from bqnn.report.rows import Row, rows
from bqnn.report.summary import Summary
from launch import cli

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the search.", required=True
)
_INTERVAL = flags.DEFINE_float(
    "interval", 2.0, "Seconds between two looks at the journal.", lower_bound=0.1
)


class _View:
    """What was last read of a journal."""

    def __init__(self, workdir: Path) -> None:
        """Read nothing yet."""
        self._workdir = workdir
        self._work: Problem | None = None
        self._summary: Summary | None = None
        self._rows: list[Row] = []
        self._pending = 0

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to see."""
        return self._summary is not None and self._summary.complete

    def read(self) -> None:
        """Read the journal again."""
        with journal.open_readonly(self._workdir) as facts:
            if not facts.began():
                return
            run, history, times = facts.run(), facts.history(), facts.times()
        self._work = self._work or make_problem(run.config, run.images)
        self._summary = watch.summarize(self._work, history)
        self._rows = rows(self._work, history, times)
        asked = sum(len(ask.candidates) for ask in history.asks)
        self._pending = asked - self._summary.done

    def render(self) -> RenderableType:
        """Lay out what was read, as of now."""
        if self._summary is None:
            return Text(f"{self._workdir}: its search has not begun")
        return watch.dashboard(
            str(self._workdir), self._summary, self._rows, self._pending, time.time()
        )


def main() -> None:
    """Show the search until it is complete."""
    view, console = _View(Path(_WORKDIR.value)), cli.console()
    view.read()
    if not console.is_terminal:
        console.print(view.render())
        return
    interrupted = cli.Interrupt()
    with Live(console=console, get_renderable=view.render) as live:
        while not view.complete and not interrupted():
            time.sleep(_INTERVAL.value)
            view.read()
            live.refresh()


if __name__ == "__main__":
    cli.run(main)

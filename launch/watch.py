"""Watch a search in the terminal, whether it is running, stopped or finished.

  python -m launch.watch --workdir=runs/first

It only reads files of the work directory. Ctrl-C ends watching, not the search. Where
there is no terminal, it prints the state once.
"""

import time
from pathlib import Path

from absl import flags
from rich.console import RenderableType
from rich.live import Live

from bqnn.report import watch
from bqnn.report.foreign import foreign
from bqnn.report.record import Record, read
from bqnn.report.watch import View
from launch import cli

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the search.", required=True
)
_INTERVAL = flags.DEFINE_float(
    "interval", 2.0, "Seconds between two reads of the journal.", lower_bound=0.1
)


class _Watcher:
    """The state of a search when it was last read."""

    def __init__(self, workdir: Path) -> None:
        """Read nothing yet."""
        self._workdir = workdir
        self._record: Record | None = None
        self._view: View | None = None

    @property
    def complete(self) -> bool:
        """Whether the search is complete."""
        return self._view is not None and self._view.summary.complete

    def read(self) -> None:
        """Read the journal and the current tasks of the workers again."""
        record = self._record = read(self._workdir, self._record)
        if record:
            self._view = watch.view_of(self._workdir, record)

    def render(self) -> RenderableType:
        """Lay out the state, as of now."""
        if self._view is None:
            return foreign(f"{self._workdir}: its search has not begun")
        return watch.dashboard(self._view, time.time())


def main() -> None:
    """Show the search until it is complete."""
    watcher, console = _Watcher(Path(_WORKDIR.value)), cli.console()
    watcher.read()
    if not console.is_terminal:
        console.print(watcher.render())
        return
    interrupted = cli.Interrupt()
    with Live(console=console, get_renderable=watcher.render) as live:
        while not watcher.complete and not interrupted():
            time.sleep(_INTERVAL.value)
            watcher.read()
            live.refresh()


if __name__ == "__main__":
    cli.run(main)

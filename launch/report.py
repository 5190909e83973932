"""Write a page to look at: what a search found, how it went, and what its agent learnt.

  python -m launch.report --workdir=runs/first --open
  python -m launch.report --workdir=runs/first --watch
  python -m launch.report --workdir=runs/first --workdir=runs/second

The page is one file, report/index.html in the (first) work directory, which needs no
network. Several searches are laid over each other. With --watch it is written again
whenever a journal changes, until every search is complete or Ctrl-C; the page then
loads itself again. The journal is only read: the search may be running.
"""

import sys
import webbrowser
from pathlib import Path

from absl import flags

from bqnn import runtime
from bqnn.errors import ConfigError, printable
from bqnn.report.page.page import watch, write_page
from bqnn.report.page.payload import Source
from launch import cli

_WORKDIR = flags.DEFINE_multi_string(
    "workdir", None, "Directory of a search; may be given several times."
)
flags.mark_flag_as_required("workdir")
_OPEN = flags.DEFINE_bool("open", False, "Open the page in the browser.")
_WATCH = flags.DEFINE_bool("watch", False, "Write it again whenever a journal changes.")


def main() -> None:
    """Write the page, once or as often as the journals change."""
    workdirs = _WORKDIR.value or []
    if len(set(workdirs)) < len(workdirs):
        raise ConfigError("--workdir: the same directory was given twice")
    runtime.use_host_only()
    sources = [Source(Path(workdir), cli.command) for workdir in workdirs]
    if not _WATCH.value:
        _tell(write_page(sources)[0], first=True)
        return
    interrupted, seen = cli.Interrupt(), set[Path]()

    def written(path: Path) -> None:
        _tell(path, first=path not in seen)
        seen.add(path)

    if not watch(sources, interrupted, written):
        sys.exit(130)
    print("every search is complete")


def _tell(path: Path, first: bool) -> None:
    """Say where the page is, the first time, and open it if asked to."""
    if not first:
        return
    print(f"{printable(str(path))} ({path.stat().st_size / 1e6:.1f} MB)", flush=True)
    if _OPEN.value:
        webbrowser.open(path.absolute().as_uri())


if __name__ == "__main__":
    cli.run(main)

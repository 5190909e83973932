"""Write a page that shows what a search found, how it went and what its agent learnt.

  python -m launch.report --workdir=runs/first --open
  python -m launch.report --workdir=runs/first --watch
  python -m launch.report --workdir=runs/first --workdir=runs/second

The page is one file that needs no network: report/index.html in the first work
directory. It compares several searches. With --watch it is written again whenever a
journal changes, until every search is complete or Ctrl-C, and it loads itself again.
Journals are only read: the searches may be running.
"""

import functools
import sys
import webbrowser
from pathlib import Path

from absl import flags

from bqnn import runtime
from bqnn.errors import ConfigError, printable
from launch import cli

_WORKDIR = flags.DEFINE_multi_string(
    "workdir", None, "Directory of a search; may be given several times."
)
flags.mark_flag_as_required("workdir")
_OPEN = flags.DEFINE_bool("open", False, "Open the page in the browser.")
_WATCH = flags.DEFINE_bool("watch", False, "Write it again whenever a journal changes.")


def main() -> None:
    """Write the page once, or with --watch whenever a journal changes."""
    from bqnn.report.page.page import watch, write_page
    from bqnn.report.page.payload import Source

    workdirs = _WORKDIR.value or []
    if len(set(workdirs)) < len(workdirs):
        raise ConfigError("--workdir: the same directory was given twice")
    runtime.use_host_only()
    sources = [Source(Path(workdir), cli.command) for workdir in workdirs]
    if not _WATCH.value:
        _announce(write_page(sources)[0])
        return
    announce = functools.cache(_announce)  # the first time only
    if not watch(sources, cli.Interrupt(), announce):
        sys.exit(130)
    print("every search is complete")


def _announce(path: Path) -> None:
    """Print the path of the page, and open it if asked to."""
    print(f"{printable(str(path))} ({path.stat().st_size / 1e6:.1f} MB)", flush=True)
    if _OPEN.value:
        webbrowser.open(path.absolute().as_uri())


if __name__ == "__main__":
    cli.run(main)

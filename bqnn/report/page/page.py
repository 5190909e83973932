"""Page of a report: template, style, scripts, plotly.js and data in one HTML file."""

import base64
import functools
import gzip
import html
import re
import time
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from bqnn import files
from bqnn.errors import ConfigError, printable
from bqnn.report.page.payload import Json, Source, payload, to_json

SCRIPTS = (
    "draw.js",
    "format.js",
    "charts.js",
    "agent.js",
    "table.js",
    "overlay.js",
    "page.js",
)
_POLL = 0.5  # seconds
_REFRESH = 10.0  # seconds
_REST = 5  # times as long as writing the page took: the search needs the processor
_SLOT = re.compile(r"\{\{(\w+)\}\}")
_HERE = resources.files(__package__)


def write_page(sources: Sequence[Source], refresh: float = 0.0) -> tuple[Path, bool]:
    """Write `report/index.html` into the work directory of the first search.

    Args:
      sources: the searches.
      refresh: seconds after which the page loads itself again while a search goes on;
        0 for never.

    Returns:
      The path of the page, and whether all searches are complete.

    Raises:
      JournalError: if a journal is missing or cannot be read.
      ConfigError: if the page cannot be written.
    """
    searches = [source.read() for source in sources]
    complete = all(search.get("complete", False) for search in searches)
    text = render(payload(searches, 0.0 if complete else refresh))
    path = sources[0].workdir / "report" / "index.html"
    try:
        path.parent.mkdir(exist_ok=True)
        files.write_atomic(path, text, durable=False)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error}") from error
    return path, complete


def watch(
    sources: Sequence[Source],
    interrupted: Callable[[], bool],
    written: Callable[[Path], None],
) -> bool:
    """Write the page again whenever a journal changes.

    Args:
      sources: the searches.
      interrupted: returns whether to stop.
      written: called with the path whenever the page was written.

    Returns:
      True when all searches are complete, False if interrupted before.

    Raises:
      JournalError, ConfigError: as `write_page` does.
    """
    last: object = None
    ready = 0.0
    while not interrupted():
        now = [source.signature() for source in sources]
        if now == last or time.monotonic() < ready:
            time.sleep(_POLL)
            continue
        start, last = time.monotonic(), now
        path, complete = write_page(sources, _REFRESH)
        written(path)
        if complete:
            return True
        ready = time.monotonic() + _REST * (time.monotonic() - start)
    return False


def render(data: Json) -> str:
    """Fill the template.

    Args:
      data: as `payload` makes it.
    """
    names = ", ".join(search["name"] for search in data["searches"])
    parts = {
        "title": html.escape(printable(f"Search {names}")),
        "css": _read("page.css"),
        "script": "\n".join(_read(name) for name in SCRIPTS),
        "plotly": _plotly(),
        "data": _packed(to_json(data).encode()),
    }
    # In one pass: a part may hold the name of another.
    return _SLOT.sub(lambda match: parts[match[1]], _read("template.html"))


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@functools.cache
def _plotly() -> str:
    """Pack plotly.js: 1.9 MB instead of 4.8."""
    script = resources.files("plotly") / "package_data" / "plotly.min.js"
    return _packed(script.read_bytes())


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()

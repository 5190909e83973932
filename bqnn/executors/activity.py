"""Activity: what workers are doing now, for the dashboard; no fact of a search.

The master writes it to a file of the work directory, which is replaced as a whole.
"""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bqnn import files, schema
from bqnn.schema import FactError

FILE_NAME = "workers.json"


class Activity(NamedTuple):
    """The activity of a worker.

    Attributes:
      worker: its name, as in its evaluations.
      ready: whether it has started, and takes candidates.
      block: the NSC of the block that it trains; empty if none.
      since: when it began that, in seconds since 1970.
    """

    worker: str
    ready: bool
    block: str
    since: float


def write(workdir: Path, activities: Sequence[Activity]) -> None:
    """Replace the file. A search goes on if it cannot be written."""
    text = json.dumps(activities)
    with contextlib.suppress(OSError):
        files.write_atomic(workdir / FILE_NAME, text, durable=False)


def read(workdir: Path) -> list[Activity]:
    """Read the file; an absent or malformed one has no activities."""
    path = workdir / FILE_NAME
    try:
        if not path.is_file():  # reading a pipe would block
            return []
        with path.open(encoding="utf-8") as file:
            return list(_ACTIVITIES(file.read(_MAX_CHARACTERS)))
    except (OSError, UnicodeDecodeError, FactError):
        return []


def _activity(value: Any) -> Activity:
    if not isinstance(value, list) or len(value) != len(Activity._fields):
        raise FactError("want four facts of every worker")
    return Activity(*(read(fact) for read, fact in zip(_FACTS, value, strict=True)))


_FACTS = (
    schema.NAME,
    schema.boolean,
    schema.text("[0-9,;]{0,2000}", "NSC or nothing"),
    schema.TIME,
)
_ACTIVITIES = schema.parsed(schema.listed(_activity, "a list of workers"))
# Characters read at most: enough for more than ten thousand workers.
_MAX_CHARACTERS = 10_000_000


def forget(workdir: Path) -> None:
    """Remove the file: the workers are gone."""
    with contextlib.suppress(OSError):
        (workdir / FILE_NAME).unlink(missing_ok=True)

"""What workers are doing at this moment: news for whoever watches, no fact of a search.

The master writes it into the work directory, into a file that is replaced as a whole.
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
    """What a worker is doing.

    Attributes:
      worker: its name, as in its evaluations.
      ready: whether it has started, and so takes candidates.
      block: the NSC of the block that it trains; empty if none.
      since: when it began that, in seconds since 1970.
    """

    worker: str
    ready: bool
    block: str
    since: float


def write(workdir: Path, activities: Sequence[Activity]) -> None:
    """Replace the news. A search goes on where they cannot be written."""
    text = json.dumps(activities)
    with contextlib.suppress(OSError):
        files.write_atomic(workdir / FILE_NAME, text, durable=False)


def read(workdir: Path) -> list[Activity]:
    """Read the news; none if there are none, or they make no sense."""
    path = workdir / FILE_NAME
    try:
        if not path.is_file():  # a pipe would let us wait for ever
            return []
        with path.open(encoding="utf-8") as file:
            return list(_NEWS(file.read(_LONGEST)))
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
_NEWS = schema.parsed(schema.listed(_activity, "a list of workers"))
# Characters that are read: of ten thousand workers and more.
_LONGEST = 10_000_000


def forget(workdir: Path) -> None:
    """Remove the news of workers that are gone."""
    with contextlib.suppress(OSError):
        (workdir / FILE_NAME).unlink(missing_ok=True)

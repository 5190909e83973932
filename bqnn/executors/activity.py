"""What workers are doing at this moment: news for whoever watches, no fact of a search.

The master writes it into the work directory, into a file that is replaced as a whole.
"""

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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
    path = workdir / FILE_NAME
    part = path.with_suffix(".part")
    with contextlib.suppress(OSError):
        part.write_text(json.dumps(activities), encoding="utf-8")
        os.replace(part, path)


def read(workdir: Path) -> list[Activity]:
    """Read the news; none if there are none, or they make no sense."""
    try:
        found = json.loads((workdir / FILE_NAME).read_text(encoding="utf-8"))
        return [
            Activity(str(worker), bool(ready), str(block), float(since))
            for worker, ready, block, since in found
        ]
    except (OSError, ValueError, TypeError):
        return []


def forget(workdir: Path) -> None:
    """Remove the news of workers that are gone."""
    with contextlib.suppress(OSError):
        (workdir / FILE_NAME).unlink(missing_ok=True)

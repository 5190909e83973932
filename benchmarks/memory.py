"""Whether anything grows: many candidates in one process."""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.candidates import BASELINE, Worker
from benchmarks.setting import SETTINGS, random_blocks


class Growth(NamedTuple):
    """Resident memory of one process, in bytes.

    Attributes:
      candidates: how many were trained.
      early: after the first `EARLY` of them.
      late: after all.
    """

    candidates: int
    early: int
    late: int

    @property
    def ratio(self) -> float:
        """Late over early."""
        return self.late / self.early


EARLY = 50


def measure(
    candidates: int, seed: int, on_job: Callable[[], None] = lambda: None
) -> Growth:
    """Train random blocks of the quickstart's shapes in one process.

    Args:
      candidates: how many, more than `EARLY`.
      seed: of the blocks.
      on_job: called after each.
    """
    resident = []
    with Worker(BASELINE, SETTINGS["quickstart"].name) as worker:
        worker.ask(warm=True)
        for at, block in enumerate(random_blocks(candidates, seed)):
            answer = worker.ask(block=str(block), seed=at)
            resident.append(answer["memory"]["resident"])
            on_job()
    return Growth(candidates, resident[min(EARLY, candidates) - 1], resident[-1])

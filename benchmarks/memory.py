"""Memory: its growth over many candidates in one process."""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.candidates import BASELINE, WORKER
from benchmarks.contender_process import ContenderProcess
from benchmarks.setting import SETTINGS, random_blocks


class Growth(NamedTuple):
    """Resident memory of one process, in bytes.

    Attributes:
      candidates: number of candidates trained.
      early: memory after the first `EARLY` of them.
      late: memory after all.
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
      candidates: number of candidates, more than `EARLY`.
      seed: seed of the blocks.
      on_job: called after each candidate.
    """
    resident = []
    setting = SETTINGS["quickstart"].name
    with ContenderProcess(BASELINE, WORKER, setting, "any") as worker:
        worker.ask(warm=True)
        for number, block in enumerate(random_blocks(candidates, seed)):
            answer = worker.ask(block=str(block), seed=number)
            resident.append(answer["memory"]["resident"])
            on_job()
    return Growth(candidates, resident[min(EARLY, candidates) - 1], resident[-1])

"""Scale: the workers that the real master keeps busy on a virtual cluster."""

import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.cluster import VirtualCluster, heavy_tailed
from bqnn.config import AgentConfig, Config, SearchConfig
from bqnn.executors.worker_process import resident_memory
from bqnn.networks.plan import ImageSpec
from bqnn.search import journal
from bqnn.search.events import Asked, Told
from bqnn.search.history import Run
from bqnn.search.master import Limits, search
from bqnn.search.problem import Problem, make_problem
from bqnn.search.state import ask_batch, first_state

IMAGES = ImageSpec(32, 32, 3, 100)
# A search has at least so many batches, and about so many candidates.
_BATCHES, _CANDIDATES = 12, 3000


class SearchOrder(NamedTuple):
    """An order of the search, and its lag; arrival has none."""

    name: str
    lag: int

    def __str__(self) -> str:
        """Write it as the table does."""
        return self.name if self.name == "arrival" else f"{self.name}, lag {self.lag}"


ORDERS = (*(SearchOrder("slot", lag) for lag in range(5)), SearchOrder("arrival", 0))
WORKERS = (1, 2, 8, 32, 128, 1024)


class ScaleRow(NamedTuple):
    """One search on a virtual cluster.

    Attributes:
      order: the order of the search.
      workers: workers of the cluster; a batch is twice as many candidates.
      evaluations: evaluations of the search.
      utilisation: fraction of the time that workers were busy, until the last batch was
        asked.
      master_ms: wall time of the master per evaluation, journal and agent included,
        from the second batch told.
      early: resident memory after a quarter of the batches, in bytes.
      late: resident memory at the end, in bytes.
    """

    order: str
    workers: int
    evaluations: int
    utilisation: float
    master_ms: float
    early: int
    late: int


def measure(
    order: SearchOrder,
    workers: int,
    seed: int,
    iterations: int,
    on_told: Callable[[], None] = lambda: None,
) -> ScaleRow:
    """Search once on `workers` virtual workers, in the paper's space.

    Args:
      order: the order of the search.
      workers: workers of the virtual cluster.
      seed: seed of search and faults.
      iterations: batches of the search.
      on_told: called after every batch told.
    """
    work = _problem(order, workers, seed, iterations)
    cluster = VirtualCluster(workers, heavy_tailed(_flops(work)), seed)
    told, utilisation, begun, early = 0, 0.0, 0.0, 0
    with (
        tempfile.TemporaryDirectory() as folder,
        journal.create_or_open(Path(folder)) as facts,
    ):
        facts.start(Run(work.config, IMAGES, "none", {}))
        limits = Limits(failures_in_a_row=10**9)
        for event in search(work, facts, cluster, limits):
            if isinstance(event, Asked) and cluster.now:
                utilisation = cluster.utilisation()
            elif isinstance(event, Told):
                told += 1
                on_told()
                if told == 2:
                    begun = time.perf_counter()
                if told == max(2, work.iterations // 4):
                    early = resident_memory()
    batch = work.config.search.batch
    spent = time.perf_counter() - begun
    return ScaleRow(
        str(order),
        workers,
        told * batch,
        utilisation,
        1e3 * spent / ((told - 2) * batch),
        early,
        resident_memory(),
    )


def batches(workers: int) -> int:
    """Return the number of batches of a search with `workers` workers."""
    return max(_BATCHES, _CANDIDATES // (2 * workers))


def _problem(order: SearchOrder, workers: int, seed: int, iterations: int) -> Problem:
    paper = Config()
    agent: AgentConfig = dataclasses.replace(paper.agent, schedule=f"0.9:{iterations}")
    order_of = SearchConfig(2 * workers, order.name, order.lag, seed)
    return make_problem(
        dataclasses.replace(paper, agent=agent, search=order_of), IMAGES
    )


def _flops(work: Problem) -> list[int]:
    """List the FLOPs of the networks of some blocks that the search may ask for."""
    found: list[int] = []
    state = first_state(work, ())
    iteration = 0
    while len(found) < 500 and iteration < work.iterations:
        asked = ask_batch(work, state, iteration, 0)
        found += [candidate.network_flops for candidate in asked.candidates]
        iteration += 1
    return found

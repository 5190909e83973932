"""Orders: when a batch is asked, and which results are told next.

Both fold over the same journal, which records what each ask had been told and what each
tell took; so a replay is exact whichever order wrote it.
"""

from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import NamedTuple

from bqnn.config import SearchConfig
from bqnn.evaluation.records import CandidateId


class SearchProgress(NamedTuple):
    """How far a search is.

    Attributes:
      told: batches told.
      asked: batches asked.
      done: ids of the candidates with a result that was not told, in the order in
        which the results came.
      has_idle_workers: whether workers would find nothing to do.
    """

    told: int
    asked: int
    done: Collection[CandidateId]
    has_idle_workers: bool


class Order(NamedTuple):
    """Two pure functions of the progress that decide the next step.

    Attributes:
      may_ask: whether to ask the next batch now; goes before `ready`.
      ready: the ids to tell now, in order; none if it is too early.
    """

    may_ask: Callable[[SearchProgress], bool]
    ready: Callable[[SearchProgress], Sequence[CandidateId]]


def slot_order(config: SearchConfig, iterations: int) -> Order:
    """Tell batch by batch, slot by slot, whatever the order of the results.

    Batch k is asked from the state after batch k - 1 - lag was told, so the trajectory
    depends on configuration and results alone.
    """

    def may_ask(now: SearchProgress) -> bool:
        return now.asked < min(iterations, now.told + 1 + config.lag)

    def ready(now: SearchProgress) -> Sequence[CandidateId]:
        batch = [(now.told, slot) for slot in range(config.batch)]
        return batch if all(candidate_id in now.done for candidate_id in batch) else ()

    return Order(may_ask, ready)


def arrival_order(config: SearchConfig, iterations: int) -> Order:
    """Tell results as they come, a batch at a time; ask before workers run dry.

    No worker ever waits; two runs differ.
    """

    def may_ask(now: SearchProgress) -> bool:
        too_few = now.asked < iterations and len(now.done) < config.batch
        return too_few and now.has_idle_workers

    def ready(now: SearchProgress) -> Sequence[CandidateId]:
        enough = len(now.done) >= config.batch
        return tuple(islice(now.done, config.batch)) if enough else ()

    return Order(may_ask, ready)


ORDERS: dict[str, Callable[[SearchConfig, int], Order]] = {
    "slot": slot_order,
    "arrival": arrival_order,
}
"""Orders by the name that `config.search.order` takes."""

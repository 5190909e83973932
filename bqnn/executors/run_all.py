"""Evaluations of candidates that are all known beforehand: no agent, no journal."""

from collections.abc import Iterator, Sequence

from bqnn.evaluation.records import Candidate, Status, is_settled
from bqnn.executors.executor import Attempt, Executor


def run_all(candidates: Sequence[Candidate], executor: Executor) -> Iterator[Attempt]:
    """Evaluate candidates, and yield each with its final evaluation when it is done.

    Args:
      candidates: no two of one place; the first start first.
      executor: that was started.
    """
    waiting = list(reversed(candidates))
    statuses: dict[tuple[int, int], list[Status]] = {c.id: [] for c in candidates}
    running = 0
    while waiting or running:
        while waiting and executor.free() > 0:
            executor.submit(waiting.pop())
            running += 1
        for candidate, evaluation in executor.collect():
            running -= 1
            seen = statuses[candidate.id]
            seen.append(evaluation.status)
            if is_settled(seen):
                yield candidate, evaluation
            else:
                waiting.insert(0, candidate)

"""Small searches to test with."""

import dataclasses
import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bqnn.config import Config, dictionary
from bqnn.data import load
from bqnn.evaluation.records import Candidate, Evaluation, Status, repeated
from bqnn.executors.activity import Activity
from bqnn.executors.executor import Executor
from bqnn.networks.plan import ImageSpec
from bqnn.search import journal
from bqnn.search.events import Evaluated, Event, Retried, Told
from bqnn.search.fold import fold
from bqnn.search.history import Run
from bqnn.search.master import Limits, search
from bqnn.search.problem import Problem, make_candidate, make_problem

SPEC = ImageSpec(8, 8, 1, 10)

DEVICE = "a table"

TINY: dict[str, dict[str, Any]] = {
    "data": {"name": "digits", "validation": 0.2},
    "space": {"max_layers": 3},
    "agent": {"schedule": "1.0:2,0.5:2,0.1:2", "alpha": 0.1, "exploration": "types"},
    "search": {"batch": 4},
    "network": {"stem": "small", "widths": (4,), "repeats": 1},
    "train": {"epochs": 1, "batch": 64},
}


def tiny_config(**sections: Mapping[str, Any]) -> Config:
    """A search of 24 candidates, a second each; fields by section override it."""
    names = {*TINY, *sections}
    values = {n: {**TINY.get(n, {}), **sections.get(n, {})} for n in names}
    return dictionary.from_dict(values, Config)


@functools.cache
def problem_of(config: Config) -> Problem:
    """Make the problem of a configuration, once: it is a value, and slow to compile."""
    return make_problem(config, SPEC)


def tabulated(candidate: Candidate) -> Evaluation:
    """Evaluate without training: an accuracy that only the block decides."""
    byte = hashlib.sha256(candidate.hash.encode()).digest()[0]
    return Evaluation(Status.OK, accuracy=(0.1, 0.2 + byte / 400), device=DEVICE)


class TableExecutor:
    """Evaluates by `tabulated`, in an order that `pick` chooses.

    Attributes:
      attempts: every candidate evaluated, in order.
    """

    shares_memory = False

    def __init__(
        self,
        pick: Any = None,
        faults: Mapping[int, Status] = {},
        capacity: int = 1000,
    ) -> None:
        """Make an executor; the n-th attempt ends in `faults[n]` if there is one."""
        self.attempts: list[Candidate] = []
        self.capacity = capacity
        self._pick = pick or (lambda count: 0)
        self._faults = dict(faults)
        self._queue: list[Candidate] = []

    def start(self, dataset: Any) -> Any:
        """Need nothing."""
        return iter(())

    def free(self) -> int:
        """Count the candidates that can be taken now."""
        return self.capacity - len(self._queue)

    def submit(self, candidate: Candidate) -> None:
        """Queue a candidate."""
        assert self.free() > 0
        self._queue.append(candidate)

    def collect(self) -> list[tuple[Candidate, Evaluation]]:
        """Evaluate one of the candidates queued."""
        if not self._queue:
            raise LookupError("nothing is in flight")
        candidate = self._queue.pop(self._pick(len(self._queue)))
        self.attempts.append(candidate)
        fault = self._faults.get(len(self.attempts) - 1)
        evaluation = tabulated(candidate)
        if fault is not None:
            evaluation = dataclasses.replace(
                evaluation, status=fault, accuracy=(), error=f"{fault} on purpose"
            )
        return [(candidate, evaluation)]

    def devices(self) -> frozenset[str]:
        """Have one device."""
        return frozenset([DEVICE])

    def activities(self) -> list[Activity]:
        """List what is queued, a worker each."""
        queued = enumerate(self._queue)
        return [Activity(f"worker {n}", True, str(c.block), 0.0) for n, c in queued]

    def close(self) -> None:
        """Forget what is queued."""
        self._queue.clear()


def final_accuracy(candidate: Candidate) -> float:
    """Train in full, without training: the larger a network, the more it gains."""
    gained = candidate.network_params / 4e4
    return min(1.0, 0.5 * tabulated(candidate).accuracy[-1] + gained)


class FullExecutor(TableExecutor):
    """Trains in full where it is asked to, as `final_accuracy` says."""

    def collect(self) -> list[tuple[Candidate, Evaluation]]:
        """Evaluate one of the candidates queued."""
        ((candidate, evaluation),) = super().collect()
        if candidate.epochs is not None and evaluation.status == Status.OK:
            early = make_candidate(problem_of(tiny_config()), candidate.block)
            curve = (0.1,) * (candidate.epochs - 1) + (final_accuracy(early),)
            evaluation = Evaluation(Status.OK, curve, device=DEVICE)
        return [(candidate, evaluation)]


class GrowingExecutor(TableExecutor):
    """Finds larger networks more accurate, for the most part."""

    def collect(self) -> list[tuple[Candidate, Evaluation]]:
        """Evaluate one of the candidates queued."""
        ((candidate, evaluation),) = super().collect()
        grown = 0.25 * evaluation.accuracy[-1] + candidate.network_params / 800
        accuracy = (0.1, min(1.0, grown))
        return [(candidate, dataclasses.replace(evaluation, accuracy=accuracy))]


class RepeatingExecutor(TableExecutor):
    """Trains three times, without training, where a candidate says so."""

    def collect(self) -> list[tuple[Candidate, Evaluation]]:
        """Evaluate one of the candidates queued."""
        ((candidate, found),) = super().collect()
        if repeated(candidate, found.accuracy):
            others = hashlib.sha256(candidate.hash.encode()).digest()[1:3]
            again = tuple(0.2 + byte / 400 for byte in others)
            found = dataclasses.replace(found, repeats=again)
        return [(candidate, found)]


class TimedExecutor(TableExecutor):
    """Says who took how long."""

    def collect(self) -> list[tuple[Candidate, Evaluation]]:
        """Evaluate one of the candidates queued."""
        ((candidate, evaluation),) = super().collect()
        worker = f"worker {len(self.attempts) % 2}"
        seconds = {"prepare": 0.5, "train": 1.5}
        return [
            (candidate, dataclasses.replace(evaluation, seconds=seconds, worker=worker))
        ]


def run_search(
    workdir: Path,
    config: Config,
    executor: Executor,
    workers: int = 1,
    on_event: Callable[[Event], None] = lambda event: None,
) -> list[Event]:
    """Search on real digits once `workers` are ready, and close the executor."""
    dataset = load(config.data)
    try:
        with journal.create_or_open(workdir) as facts:
            facts.start(Run(config, dataset.spec, dataset.fingerprint(), {}))
            for _ in executor.start(dataset):
                pass
            while executor.free() < workers:
                executor.collect()
            events = []
            for event in search(problem_of(config), facts, executor):
                events.append(event)
                on_event(event)
            return events
    finally:
        executor.close()


def search_table(
    workdir: Path,
    config: Config,
    executor: TableExecutor | None = None,
    limits: Limits | None = None,
    stop_after: int | None = None,
) -> list[Event]:
    """Search by `tabulated` to the end, or until `stop_after` new events have come."""
    events: list[Event] = []
    with journal.create_or_open(workdir) as facts:
        facts.start(Run(config, SPEC, "none", {}))
        problem = problem_of(config)
        steps = search(problem, facts, executor or TableExecutor(), limits or Limits())
        for event in steps:
            events.append(event)
            if sum(not event.recorded for event in events) == stop_after:
                steps.close()
                break
    return events


def replay(workdir: Path) -> list[Event]:
    """Replay a journal."""
    with journal.open_readonly(workdir) as facts:
        run, history = facts.run(), facts.history()
    return list(fold(problem_of(run.config), history))


def digests_of(events: Sequence[Event]) -> list[str]:
    """Return the digests of the batches told."""
    return [event.digest for event in events if isinstance(event, Told)]


def evaluated(events: Sequence[Event]) -> list[Evaluated]:
    """Return the events of evaluations that are known for good."""
    return [event for event in events if isinstance(event, Evaluated)]


def last_digest(events: Sequence[Event]) -> str:
    """Return the digest of the last batch told."""
    return digests_of(events)[-1]


def outcomes(events: Sequence[Event]) -> Counter[tuple[str, bool]]:
    """Count what is known of evaluations: (status, whether it was final)."""
    ended = [e for e in events if isinstance(e, Evaluated | Retried)]
    return Counter((e.evaluation.status, isinstance(e, Evaluated)) for e in ended)

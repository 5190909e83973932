"""In flight: candidates between ask and tell, queued, started, retried and done.

Executors only say how many candidates they can take. Priority, retries, reuse of twins
and limits are written once, here.
"""

import dataclasses
import heapq
from collections.abc import Iterator, Mapping, Sequence

from bqnn.errors import SearchError
from bqnn.evaluation.records import (
    Candidate,
    CandidateId,
    Evaluation,
    Status,
    is_known,
    is_settled,
    reuse,
)
from bqnn.executors.executor import Executor
from bqnn.search.evaluation_store import Store
from bqnn.search.events import Evaluated, Event, Retried, TrainedInFull
from bqnn.search.journal import Journal
from bqnn.search.problem import Problem

_Entry = tuple[int, CandidateId, Candidate]


class InFlight:
    """The candidates in flight; their results go to the journal as they come.

    Attributes:
      problem: the search, whose reward may change.
      done: candidates with a final evaluation that was not told, in the order it came.
      in_full: blocks of a round (`bqnn.search.rounds`) with a final evaluation.
      started: candidates that the executor has.
      trained: candidates with a final evaluation of their own, over all runs.
    """

    def __init__(
        self,
        problem: Problem,
        journal: Journal,
        executor: Executor,
        store: Store,
        max_failures: int,
    ) -> None:
        """Begin with nothing in flight.

        Args:
          problem: the search.
          journal: records every attempt.
          executor: evaluates candidates.
          store: has results of other searches, and is given those of this one.
          max_failures: evaluations that may fail one after the other.
        """
        self.problem, self._journal = problem, journal
        self._executor, self._store = executor, store
        self._max_failures, self._failures = max_failures, 0
        self.done: dict[CandidateId, tuple[Candidate, Evaluation]] = {}
        self.in_full: dict[CandidateId, tuple[Candidate, Evaluation]] = {}
        self.started: dict[CandidateId, Candidate] = {}
        self.trained = 0
        # A heap, the largest predicted cost first: long trainings must not start last.
        self._queue: list[_Entry] = []
        # Candidates to be evaluated with no other beside them.
        self._alone: list[Candidate] = []
        # Statuses of the attempts so far, where there are any.
        self._attempts: dict[CandidateId, tuple[Status, ...]] = {}
        # By canonical hash of a candidate queued or started: twins that wait for it.
        self._waiting: dict[str, list[Candidate]] = {}

    @property
    def has_idle_workers(self) -> bool:
        """Whether the executor could take more candidates than are queued."""
        return self._executor.free() > len(self._queue) + len(self._alone)

    def has_all(self, candidates: Sequence[Candidate]) -> bool:
        """Tell whether all blocks of a round have a final evaluation."""
        return all(candidate.id in self.in_full for candidate in candidates)

    def admit(
        self,
        candidates: Sequence[Candidate],
        finals: Mapping[CandidateId, Evaluation] = {},
        attempts: Mapping[CandidateId, tuple[Evaluation, ...]] = {},
    ) -> Iterator[Event]:
        """Take in candidates: what is not known is queued, once per canonical hash.

        Args:
          candidates: not told yet.
          finals: final evaluations by id, from an earlier run.
          attempts: all evaluations by id, from an earlier run.
        """
        for candidate in candidates:
            if candidate.id in finals:
                self._keep(candidate, finals[candidate.id])
            elif candidate.hash in self._waiting:
                self._waiting[candidate.hash].append(candidate)
            elif known := self._journal.result_of(candidate.hash):
                yield self._reuse(candidate, known)
            else:
                self._waiting[candidate.hash] = []
                earlier = attempts.get(candidate.id, ())
                self._enqueue(candidate, tuple(e.status for e in earlier))

    def start_next(self, most: int | None = None) -> list[Event]:
        """Give the executor all that it can take now, but at most `most`.

        The store is asked at the last moment: another search may just have ended the
        same training.

        Returns:
          The events of candidates whose result the store has.
        """
        found: list[Event] = []
        end = None if most is None else len(self.started) + most
        while len(self.started) != end and self._executor.free() > 0:
            candidate = self._next()
            if candidate is None:
                break
            known = self._store.find(candidate, self._executor.devices())
            if known:
                twins = self._waiting.pop(candidate.hash)
                found += [self._reuse(c, known) for c in (candidate, *twins)]
                continue
            self.started[candidate.id] = candidate
            self._executor.submit(candidate)
        return found

    def collect(self) -> Iterator[Event]:
        """Wait for attempts to end, record them, and settle what follows."""
        for candidate, evaluation in self._executor.collect():
            del self.started[candidate.id]
            yield from self._settle(candidate, evaluation)

    def _next(self) -> Candidate | None:
        """Take the next candidate to start; None if none may start now."""
        if self._alone or any(map(self._wants_alone, self.started)):
            return self._alone.pop() if not self.started else None
        return heapq.heappop(self._queue)[2] if self._queue else None

    def _wants_alone(self, candidate_id: CandidateId) -> bool:
        """Whether a candidate ran out of a memory that it shared with others."""
        earlier = self._attempts.get(candidate_id, ())
        return self._executor.shares_memory and Status.OUT_OF_MEMORY in earlier

    def _enqueue(self, candidate: Candidate, attempts: tuple[Status, ...]) -> None:
        """Queue a candidate for its next attempt."""
        if attempts:
            self._attempts[candidate.id] = attempts
        if self._wants_alone(candidate.id):
            self._alone.append(candidate)
        else:
            passes = candidate.epochs or self.problem.config.train.epochs
            cost = candidate.network_flops * passes
            entry = (-cost, candidate.id, candidate)
            heapq.heappush(self._queue, entry)

    def _settle(self, candidate: Candidate, evaluation: Evaluation) -> Iterator[Event]:
        """Record an attempt; then try again, or finish the candidate and its twins."""
        statuses = (*self._attempts.pop(candidate.id, ()), evaluation.status)
        settled = is_settled(statuses)
        if settled and evaluation.status == Status.WORKER_LOST:
            # A block that kills its workers has failed.
            lost = statuses.count(Status.WORKER_LOST)
            evaluation = dataclasses.replace(
                evaluation,
                status=Status.FAILED,
                error=f"lost {lost} workers: {evaluation.error}",
            )
        self._journal.add_evaluation(candidate, len(statuses), evaluation)
        self._store.add(candidate, evaluation)
        if not settled:
            yield Retried(candidate, evaluation, recorded=False)
            self._enqueue(candidate, statuses)
            return
        self.trained += 1
        yield self._finish(candidate, evaluation)
        twins = self._waiting.pop(candidate.hash)
        if is_known([*statuses[:-1], evaluation.status]):
            for twin in twins:
                yield self._reuse(twin, evaluation)
        elif twins:
            self._waiting[candidate.hash] = twins[1:]
            self._enqueue(twins[0], ())
        self._count_failures(candidate, evaluation)

    def _reuse(self, candidate: Candidate, known: Evaluation) -> Event:
        """Give a candidate the result, or the failure, of an equal training."""
        evaluation = reuse(known)
        attempt = len(self._attempts.pop(candidate.id, ())) + 1
        self._journal.add_evaluation(candidate, attempt, evaluation)
        return self._finish(candidate, evaluation)

    def _finish(self, candidate: Candidate, evaluation: Evaluation) -> Event:
        self._keep(candidate, evaluation)
        if candidate.epochs is not None:
            return TrainedInFull(candidate, evaluation, recorded=False)
        reward = self.problem.reward(candidate, evaluation)
        return Evaluated(candidate, evaluation, reward, recorded=False)

    def _keep(self, candidate: Candidate, evaluation: Evaluation) -> None:
        kept = self.done if candidate.epochs is None else self.in_full
        kept[candidate.id] = candidate, evaluation

    def _count_failures(self, candidate: Candidate, evaluation: Evaluation) -> None:
        failed = evaluation.status == Status.FAILED
        self._failures = self._failures + 1 if failed else 0
        if self._failures >= self._max_failures:
            cause = next(iter(evaluation.error.splitlines()), "no cause given")
            raise SearchError(
                f"{self._failures} evaluations failed in a row, the last one "
                f"{candidate.block}: {cause}; mend the cause and run the same command "
                "again"
            )

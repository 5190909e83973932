"""The master: asks, has candidates evaluated, tells (the paper, section 4.1)."""

import collections
import dataclasses
from collections.abc import Generator, Iterator

from bqnn import agent, problem
from bqnn.agent import AgentState
from bqnn.errors import SearchError
from bqnn.events import Asked, Evaluated, Event, Told
from bqnn.executors import Executor
from bqnn.fold import final_evaluations, fold
from bqnn.journal import Ask, Journal, Tell
from bqnn.problem import Problem
from bqnn.records import Candidate, Evaluation, Status, is_final


def search(
    work: Problem,
    journal: Journal,
    executor: Executor,
    max_failures_in_a_row: int = 5,
) -> Generator[Event, None, None]:
    """Search from where the journal ends; a generator of events.

    Slot order: batch k is asked after batch k - 1 - lag was told, and batches are told
    one after the other in slot order, whatever the order in which evaluations end. So
    the trajectory depends on configuration and results alone.

    Args:
      work: the search to do.
      journal: open to write, and started with the same configuration.
      executor: evaluates candidates.
      max_failures_in_a_row: evaluations that may fail one after the other.

    Yields:
      An event per batch asked, per final evaluation and per batch told: those that the
      journal records first, then the new ones as they happen.

    Raises:
      SearchError: if too many evaluations fail in a row.
      JournalError: if the journal cannot be written, or does not replay.
    """
    history = journal.history()
    state = yield from fold(work, history)
    master = _Master(work, journal, executor, max_failures_in_a_row)
    finals = final_evaluations(history)
    told = len(history.tells)
    for asked in history.asks:
        if asked.iteration < told:
            master.remember(asked, finals)
        else:
            yield from master.admit(asked, finals, history.attempts)
    asked_count = len(history.asks)
    while told < work.iterations:
        while asked_count < min(work.iterations, told + 1 + work.config.search.lag):
            asked = problem.ask(work, state, asked_count, told)
            journal.add_ask(asked)
            yield Asked(asked_count, asked.epsilon, recorded=False)
            yield from master.admit(asked, {}, {})
            asked_count += 1
        yield from master.complete(told)
        state, event = master.tell(state, told)
        yield event
        told += 1


class _Master:
    """Bookkeeping of what is in flight; effects go to journal and executor."""

    def __init__(
        self, work: Problem, journal: Journal, executor: Executor, max_failures: int
    ) -> None:
        self.work, self.journal, self.executor = work, journal, executor
        self.max_failures = max_failures
        self.failures = 0
        self.asks: dict[int, Ask] = {}
        self.done: dict[tuple[int, int], Evaluation] = {}
        self.attempts: collections.Counter[tuple[int, int]] = collections.Counter()
        # By canonical hash: what is known, and who waits for what is being evaluated.
        self.known: dict[str, Evaluation] = {}
        self.waiting: dict[str, list[Candidate]] = {}

    def remember(self, asked: Ask, finals: dict[tuple[int, int], Evaluation]) -> None:
        """Keep the results of a batch told before, for its canonical twins."""
        for candidate in asked.candidates:
            self.known.setdefault(candidate.hash, finals[candidate.place])

    def admit(
        self,
        asked: Ask,
        finals: dict[tuple[int, int], Evaluation],
        attempts: dict[tuple[int, int], tuple[Evaluation, ...]],
    ) -> Iterator[Event]:
        """Take in a batch: what is not known is submitted, once per canonical hash."""
        self.asks[asked.iteration] = asked
        for candidate in asked.candidates:
            self.attempts[candidate.place] = len(attempts.get(candidate.place, ()))
            if candidate.place in finals:
                self.done[candidate.place] = finals[candidate.place]
                self.known.setdefault(candidate.hash, finals[candidate.place])
            elif candidate.hash in self.known:
                yield self._reuse(candidate)
            elif candidate.hash in self.waiting:
                self.waiting[candidate.hash].append(candidate)
            else:
                self.waiting[candidate.hash] = []
                self.executor.submit(candidate)

    def complete(self, iteration: int) -> Iterator[Event]:
        """Collect until every candidate of the batch has its final evaluation."""
        places = {c.place for c in self.asks[iteration].candidates}
        while not places <= self.done.keys():
            yield from self._collect()

    def tell(self, state: AgentState, iteration: int) -> tuple[AgentState, Told]:
        """Tell the batch in slot order, and let go of it."""
        asked = self.asks.pop(iteration)
        batch = [(c, self.done.pop(c.place)) for c in asked.candidates]
        for candidate in asked.candidates:
            del self.attempts[candidate.place]
        state = problem.tell(self.work, state, batch)
        digest = agent.digest(state)
        places = tuple(candidate.place for candidate in asked.candidates)
        self.journal.add_tell(Tell(iteration, places, digest, problem.evidence(batch)))
        return state, Told(iteration, digest, recorded=False)

    def _collect(self) -> Iterator[Event]:
        candidate, evaluation = self.executor.collect()
        evaluation = self._settle(candidate, evaluation)
        self._record(candidate, evaluation)
        if not is_final(evaluation.status, self.attempts[candidate.place]):
            self.executor.submit(candidate)
            return
        self.known[candidate.hash] = evaluation
        yield self._finish(candidate, evaluation)
        for twin in self.waiting.pop(candidate.hash):
            yield self._reuse(twin)
        self._count_failures(candidate, evaluation)

    def _settle(self, candidate: Candidate, evaluation: Evaluation) -> Evaluation:
        """Count a candidate that loses every worker it is given as failed."""
        attempts = self.attempts[candidate.place] + 1
        lost = evaluation.status == Status.WORKER_LOST
        if not (lost and is_final(evaluation.status, attempts)):
            return evaluation
        error = f"lost {attempts} workers: {evaluation.error}"
        return dataclasses.replace(evaluation, status=Status.FAILED, error=error)

    def _reuse(self, candidate: Candidate) -> Evaluated:
        """Give a candidate the result, or the failure, of its canonical twin."""
        known = self.known[candidate.hash]
        usable = known.status == Status.OK
        evaluation = Evaluation(
            Status.REUSED,
            accuracy=known.accuracy if usable else (),
            restarts=known.restarts,
            error="" if usable else f"{known.status}: {known.error}",
        )
        self._record(candidate, evaluation)
        return self._finish(candidate, evaluation)

    def _record(self, candidate: Candidate, evaluation: Evaluation) -> None:
        self.attempts[candidate.place] += 1
        attempt = self.attempts[candidate.place]
        self.journal.add_evaluation(candidate, attempt, evaluation)

    def _finish(self, candidate: Candidate, evaluation: Evaluation) -> Evaluated:
        self.done[candidate.place] = evaluation
        reward = problem.reward(self.work, candidate, evaluation)
        return Evaluated(candidate, evaluation, reward, recorded=False)

    def _count_failures(self, candidate: Candidate, evaluation: Evaluation) -> None:
        failed = evaluation.status == Status.FAILED
        self.failures = self.failures + 1 if failed else 0
        if self.failures >= self.max_failures:
            cause = evaluation.error.splitlines()[0]
            raise SearchError(
                f"{self.failures} evaluations failed in a row, the last one "
                f"{candidate.block}: {cause}; mend the cause and run the same command "
                "again"
            )

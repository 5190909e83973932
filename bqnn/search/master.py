"""Master: asks, has candidates evaluated, tells (the paper, its framework).

The paper's controller, between master and compute nodes, is part of the master (ours).
"""

import functools
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import NamedTuple

from bqnn.agents import agent
from bqnn.evaluation.records import CandidateId
from bqnn.executors.executor import Executor
from bqnn.search import rounds
from bqnn.search.digests import next_digest
from bqnn.search.evaluation_store import NoStore, Store
from bqnn.search.events import Asked, Event, Refitted, Told
from bqnn.search.fold import fold
from bqnn.search.history import History, Round, Tell
from bqnn.search.inflight import InFlight
from bqnn.search.journal import Journal
from bqnn.search.orders import ORDERS, SearchProgress
from bqnn.search.problem import Problem, with_fit, with_given
from bqnn.search.rounds import due
from bqnn.search.settled import (
    evaluated,
    in_full,
    settled_evaluations,
    told_batches,
    untold,
)
from bqnn.search.state import (
    SearchState,
    ask_batch,
    batch_digest,
    tell_batch,
    told_again,
)


class Limits(NamedTuple):
    """When a search stops before its end, to be continued.

    Attributes:
      failures_in_a_row: evaluations that may fail one after the other.
      candidates: how many may be trained over all runs; any number if None.
      out_of_time: tells whether no more candidate may be started.
    """

    failures_in_a_row: int = 5
    candidates: int | None = None
    out_of_time: Callable[[], bool] = lambda: False


_NO_LIMITS, _NO_STORE = Limits(), NoStore()


def search(
    problem: Problem,
    journal: Journal,
    executor: Executor,
    limits: Limits = _NO_LIMITS,
    store: Store = _NO_STORE,
) -> Generator[Event, None, None]:
    """Search from where the journal ends; a generator of events.

    `config.search.order` decides what is asked and told when (`bqnn.search.orders`).

    Args:
      problem: the search to do.
      journal: open to write, and started with the same configuration.
      executor: evaluates candidates.
      limits: when to start nothing more; what is being evaluated comes to its end.
      store: results that other searches share.

    Yields:
      An event per batch asked, attempt to be repeated, final evaluation and batch told:
      those that the journal records first, then the new ones as they happen.

    Raises:
      SearchError: if too many evaluations fail in a row.
      JournalError: if the journal cannot be written, or does not replay.
    """
    running = yield from _resume(problem, journal, executor, store, limits)
    while step := running.next_step():
        yield from step()


class _Running:
    """A search between two steps."""

    def __init__(
        self,
        problem: Problem,
        journal: Journal,
        in_flight: InFlight,
        limits: Limits,
        state: SearchState,
        history: History,
    ) -> None:
        """Go on from the end of a history, whose state is `state`."""
        self._problem, self._journal, self._state = problem, journal, state
        self._in_flight, self._limits = in_flight, limits
        self._order = ORDERS[problem.config.search.order](
            problem.config.search, problem.iterations
        )
        self._digest = history.last_digest
        self._told, self._asked = len(history.tells), len(history.asks)
        # Candidates that were asked and not told, in the order asked.
        self._pending = {c.id: c for c in untold(history)}
        # The round that has begun and not ended, and how many have.
        self._round = next((r for r in history.rounds if not r.ended), None)
        self._rounds = sum(this.ended for this in history.rounds)

    def next_step(self) -> Callable[[], Iterator[Event]] | None:
        """Choose the next step; None at the end, or where a limit stops the search.

        A round that is due precedes all else, and a due ask the next tell, even across
        restarts.
        """
        limits, in_flight = self._limits, self._in_flight
        room = _room(limits, in_flight.trained + len(in_flight.started))
        stopping = room == 0 or limits.out_of_time()
        now = SearchProgress(
            self._told, self._asked, in_flight.done, in_flight.has_idle_workers
        )
        if due(self._problem, self._told, self._rounds):
            if self._round and in_flight.has_all(self._round.candidates):
                return functools.partial(self._learn, self._round)
            if not self._round and not stopping:
                return self._begin_round
        elif self._told == self._problem.iterations:
            return None
        elif self._order.may_ask(now):
            if not stopping:
                return self._ask
        elif ids := self._order.ready(now):
            return functools.partial(self._tell, ids)
        if not stopping:
            return functools.partial(self._train, room)
        return in_flight.collect if in_flight.started else None

    def _ask(self) -> Iterator[Event]:
        pending = self._pending.values()
        ask = ask_batch(self._problem, self._state, self._asked, self._told, pending)
        self._journal.add_ask(ask)
        self._pending.update({candidate.id: candidate for candidate in ask.candidates})
        yield Asked(ask.iteration, ask.epsilon, recorded=False)
        yield from self._in_flight.admit(ask.candidates)
        self._asked += 1

    def _tell(self, ids: Sequence[CandidateId]) -> Iterator[Event]:
        batch = [self._in_flight.done.pop(candidate_id) for candidate_id in ids]
        for candidate_id in ids:
            del self._pending[candidate_id]
        number = self._told
        self._state = tell_batch(self._problem, self._state, batch)
        self._digest = next_digest(
            self._problem, self._state.agent, number, self._digest
        )
        evidence = batch_digest(batch)
        self._journal.add_tell(Tell(number, tuple(ids), self._digest, evidence))
        yield Told(number, self._digest, recorded=False)
        self._told += 1

    def _train(self, room: int | None) -> Iterator[Event]:
        """Give workers what they can take, or wait for what they have."""
        yield from self._in_flight.start_next(room) or self._in_flight.collect()

    def _begin_round(self) -> Iterator[Event]:
        history = self._journal.history()
        begun = rounds.choose(self._problem, told_batches(history), history.rounds)
        self._journal.add_round(begun)
        self._round = begun
        yield from self._in_flight.admit(begun.candidates)

    def _learn(self, begun: Round) -> Iterator[Event]:
        """Fit the reward, and tell the agent all again by it."""
        history = self._journal.history()
        told = told_batches(history)
        fit = rounds.learn(told, in_full(history))
        self._problem = self._in_flight.problem = with_fit(self._problem, fit)
        self._state = told_again(self._problem, history.given.learnt, told)
        self._digest = agent.digest(self._state.agent)
        self._journal.add_fit(begun._replace(fit=fit, digest=self._digest))
        known = tuple(evaluated(self._problem, history, self._problem.reward))
        yield Refitted(begun.number, fit, known, self._digest, recorded=False)
        self._round, self._rounds = None, self._rounds + 1


def _room(limits: Limits, begun: int) -> int | None:
    """Count the candidates that may still be begun; any number if None."""
    if limits.candidates is None:
        return None
    return max(0, limits.candidates - begun)


def _resume(
    problem: Problem, journal: Journal, executor: Executor, store: Store, limits: Limits
) -> Generator[Event, None, _Running]:
    """Fold the journal, and admit the candidates that it leaves untold."""
    history = journal.history()
    problem = with_given(problem, history.given)
    state = yield from fold(problem, history)
    problem, failures = with_fit(problem, history.fit), limits.failures_in_a_row
    in_flight = InFlight(problem, journal, executor, store, failures)
    finals, full = settled_evaluations(history), history.rounds[-1:]
    for candidates in (untold(history), *(this.candidates for this in full)):
        yield from in_flight.admit(candidates, finals, history.attempts)
    in_flight.trained = history.trained
    return _Running(problem, journal, in_flight, limits, state, history)

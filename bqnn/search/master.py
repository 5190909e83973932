"""Master: asks, has candidates evaluated, tells (the paper, its framework).

The paper's controller, between master and compute nodes, is part of the master (ours).
"""

from collections.abc import Callable, Generator
from typing import NamedTuple

from bqnn.evaluation.records import Candidate, CandidateId
from bqnn.executors.executor import Executor
from bqnn.search.digests import next_digest
from bqnn.search.evaluation_store import NoStore, Store
from bqnn.search.events import Asked, Event, Told
from bqnn.search.fold import fold
from bqnn.search.history import Tell
from bqnn.search.inflight import InFlight
from bqnn.search.journal import Journal
from bqnn.search.orders import ORDERS, SearchProgress
from bqnn.search.problem import Problem, with_given
from bqnn.search.settled import settled_evaluations
from bqnn.search.state import SearchState, ask_batch, batch_digest, tell_batch


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
    start = yield from _resume(problem, journal, executor, store, limits)
    problem, in_flight, state, digest, told, asked, pending = start
    config, iterations = problem.config.search, problem.iterations
    order = ORDERS[config.order](config, iterations)
    while told < iterations:
        room = _room(limits, in_flight.trained + len(in_flight.started))
        stopping = room == 0 or limits.out_of_time()
        now = SearchProgress(told, asked, in_flight.done, in_flight.has_idle_workers)
        # A due ask precedes the next tell, even across restarts.
        if (ask_due := order.may_ask(now)) and not stopping:
            ask = ask_batch(problem, state, asked, told, pending.values())
            journal.add_ask(ask)
            pending.update({candidate.id: candidate for candidate in ask.candidates})
            yield Asked(asked, ask.epsilon, recorded=False)
            yield from in_flight.admit(ask.candidates)
            asked += 1
        elif not ask_due and (ids := order.ready(now)):
            batch = [in_flight.done.pop(candidate_id) for candidate_id in ids]
            for candidate_id in ids:
                del pending[candidate_id]
            state = tell_batch(problem, state, batch)
            digest = next_digest(problem, state.agent, told, digest)
            journal.add_tell(Tell(told, tuple(ids), digest, batch_digest(batch)))
            yield Told(told, digest, recorded=False)
            told += 1
        else:
            if stopping and not in_flight.started:
                return
            found = [] if stopping else in_flight.start_next(room)
            yield from found or in_flight.collect()


def _room(limits: Limits, begun: int) -> int | None:
    """Count the candidates that may still be begun; any number if None."""
    if limits.candidates is None:
        return None
    return max(0, limits.candidates - begun)


class _Start(NamedTuple):
    """Where a search goes on.

    Attributes:
      problem: the search, with what it was given.
      in_flight: what is between ask and tell.
      state: of the search.
      digest: the last one recorded.
      told, asked: numbers of batches.
      pending: candidates that were asked and not told, in the order asked.
    """

    problem: Problem
    in_flight: InFlight
    state: SearchState
    digest: str
    told: int
    asked: int
    pending: dict[CandidateId, Candidate]


def _resume(
    problem: Problem, journal: Journal, executor: Executor, store: Store, limits: Limits
) -> Generator[Event, None, _Start]:
    """Fold the journal, and admit the candidates that it leaves untold."""
    history = journal.history()
    problem = with_given(problem, history.given)
    failures = limits.failures_in_a_row
    in_flight = InFlight(problem, journal, executor, store, failures)
    state = yield from fold(problem, history)
    finals = settled_evaluations(history)
    told = {candidate_id for tell in history.tells for candidate_id in tell.ids}
    pending = {
        candidate.id: candidate
        for ask in history.asks
        for candidate in ask.candidates
        if candidate.id not in told
    }
    for ask in history.asks:
        candidates = [c for c in ask.candidates if c.id in pending]
        yield from in_flight.admit(candidates, finals, history.attempts)
    in_flight.trained = history.trained
    return _Start(
        problem,
        in_flight,
        state,
        history.last_digest,
        len(history.tells),
        len(history.asks),
        pending,
    )

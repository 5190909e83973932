"""The master: asks, has candidates evaluated, tells (the paper, its framework).

The paper's controller, between master and compute nodes, is part of the master (ours).
"""

from collections.abc import Callable, Generator
from typing import NamedTuple

from bqnn.agents import agent
from bqnn.agents.agent import AgentState
from bqnn.evaluation.records import Candidate, CandidateId, Evaluation
from bqnn.executors.executor import Executor
from bqnn.search import problem
from bqnn.search.events import Asked, Event, Told
from bqnn.search.fold import fold, settled_evaluations
from bqnn.search.history import Tell
from bqnn.search.inflight import InFlight
from bqnn.search.journal import Journal
from bqnn.search.orders import ORDERS, Progress
from bqnn.search.problem import Problem


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


_NO_LIMITS = Limits()


def search(
    work: Problem,
    journal: Journal,
    executor: Executor,
    limits: Limits = _NO_LIMITS,
) -> Generator[Event, None, None]:
    """Search from where the journal ends; a generator of events.

    `config.search.order` decides what is asked and told when (`bqnn.search.orders`).

    Args:
      work: the search to do.
      journal: open to write, and started with the same configuration.
      executor: evaluates candidates.
      limits: when to start nothing more; what is being evaluated comes to its end.

    Yields:
      An event per batch asked, attempt to be repeated, final evaluation and batch told:
      those that the journal records first, then the new ones as they happen.

    Raises:
      SearchError: if too many evaluations fail in a row.
      JournalError: if the journal cannot be written, or does not replay.
    """
    flight = InFlight(work, journal, executor, limits.failures_in_a_row)
    state, told, asked = yield from _resume(work, journal, flight)
    order = ORDERS[work.config.search.order](work.config.search, work.iterations)
    while told < work.iterations:
        room = _room(limits, flight.trained + len(flight.started))
        stopping = room == 0 or limits.out_of_time()
        now = Progress(told, asked, flight.done, flight.hungry)
        # Who may ask asks before the next tell, in a later run if not in this one.
        asking = order.may_ask(now)
        if asking and not stopping:
            ask = problem.ask(work, state, asked, told)
            journal.add_ask(ask)
            yield Asked(asked, ask.epsilon, recorded=False)
            yield from flight.admit(ask.candidates)
            asked += 1
        elif not asking and (places := order.ready(now)):
            batch = [flight.done.pop(place) for place in places]
            state, event = _tell(work, journal, state, told, batch)
            yield event
            told += 1
        else:
            if not stopping:
                flight.start_next(room)
            elif not flight.started:
                return
            yield from flight.collect()


def _room(limits: Limits, begun: int) -> int | None:
    """Count the candidates that may still be begun; any number if None."""
    if limits.candidates is None:
        return None
    return max(0, limits.candidates - begun)


def _resume(
    work: Problem, journal: Journal, flight: InFlight
) -> Generator[Event, None, tuple[AgentState, int, int]]:
    """Refold the journal, and take in what it leaves to be evaluated or told."""
    history = journal.history()
    state = yield from fold(work, history)
    finals = settled_evaluations(history)
    told = {place for tell in history.tells for place in tell.places}
    for ask in history.asks:
        candidates = [c for c in ask.candidates if c.id not in told]
        yield from flight.admit(candidates, finals, history.attempts)
    flight.trained = history.trained
    return state, len(history.tells), len(history.asks)


def _tell(
    work: Problem,
    journal: Journal,
    state: AgentState,
    number: int,
    batch: list[tuple[Candidate, Evaluation]],
) -> tuple[AgentState, Told]:
    state = problem.tell(work, state, batch)
    digest = agent.digest(state)
    places: tuple[CandidateId, ...] = tuple(candidate.id for candidate, _ in batch)
    journal.add_tell(Tell(number, places, digest, problem.evidence(batch)))
    return state, Told(number, digest, recorded=False)

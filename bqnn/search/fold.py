"""Refold a journal: resume and replay are this one function."""

from collections.abc import Generator, Iterator

from bqnn.agents import agent
from bqnn.agents.agent import AgentState
from bqnn.errors import JournalError
from bqnn.evaluation.records import Candidate, Evaluation, is_settled
from bqnn.search import problem
from bqnn.search.events import Asked, Evaluated, Event, Retried, Told
from bqnn.search.history import Ask, History, Tell
from bqnn.search.problem import Problem


class ReplayError(JournalError):
    """A journal that does not give the trajectory it records."""


def fold(search: Problem, history: History) -> Generator[Event, None, AgentState]:
    """Tell the agent all that the journal records, checking every step.

    Every batch asked is asked again and must come out the same; after every batch told
    the digest must be the one recorded.

    Args:
      search: the problem that the journal belongs to.
      history: what the journal holds.

    Yields:
      The events recorded: attempts that were repeated; batches asked before the first
      tell; evaluations of the batch told, that it was told, batches asked then, and so
      on; at last the evaluations that no batch told yet.

    Returns:
      The agent's state.

    Raises:
      ReplayError: names the first iteration that differs.
    """
    state = search.agent.init()
    finals = settled_evaluations(history)
    candidates = {c.id: c for asked in history.asks for c in asked.candidates}
    for place, attempts in history.attempts.items():
        for attempt in attempts[: -1 if place in finals else None]:
            yield Retried(candidates[place], attempt, recorded=True)
    untold = dict.fromkeys(finals)
    for told in range(len(history.tells) + 1):
        for asked in history.asks:
            if asked.told == told:
                yield _check_ask(search, state, asked)
        if told == len(history.tells):
            break
        recorded = history.tells[told]
        batch = [(candidates[place], finals[place]) for place in recorded.places]
        for candidate, evaluation in batch:
            untold.pop(candidate.id, None)
            yield _evaluated(search, candidate, evaluation)
        state = problem.tell(search, state, batch)
        yield _check_tell(state, recorded, batch)
    for place in untold:
        yield _evaluated(search, candidates[place], finals[place])
    return state


def evaluated(search: Problem, history: History) -> Iterator[Evaluated]:
    """Yield what is known of every candidate that is done, without its agent."""
    finals = settled_evaluations(history)
    for asked in history.asks:
        for candidate in asked.candidates:
            if candidate.id in finals:
                yield _evaluated(search, candidate, finals[candidate.id])


def settled_evaluations(history: History) -> dict[tuple[int, int], Evaluation]:
    """Map the place of every candidate that is done to its final evaluation."""
    return {
        place: attempts[-1]
        for place, attempts in history.attempts.items()
        if is_settled([attempt.status for attempt in attempts])
    }


def _evaluated(
    search: Problem, candidate: Candidate, evaluation: Evaluation
) -> Evaluated:
    reward = problem.reward(search, candidate, evaluation)
    return Evaluated(candidate, evaluation, reward, recorded=True)


def _check_ask(search: Problem, state: AgentState, recorded: Ask) -> Asked:
    """Ask the batch again: the same epsilon, the same blocks."""
    actions, info = search.agent.ask(state, recorded.iteration)
    if info.epsilon != recorded.epsilon:
        raise ReplayError(
            f"iteration {recorded.iteration}: epsilon differs: the journal has "
            f"{recorded.epsilon}, the replay asks with {info.epsilon}"
        )
    for candidate, row in zip(recorded.candidates, actions, strict=True):
        if candidate.block != search.space.decode(row):
            raise ReplayError(
                f"iteration {recorded.iteration}: slot {candidate.slot} differs: the "
                f"journal has {candidate.block}, the replay asks "
                f"{search.space.decode(row)}"
            )
    return Asked(recorded.iteration, recorded.epsilon, recorded=True)


def _check_tell(
    state: AgentState,
    recorded: Tell,
    batch: list[tuple[Candidate, Evaluation]],
) -> Told:
    digest, evidence = agent.digest(state), problem.evidence(batch)
    if (digest, evidence) != (recorded.digest, recorded.evidence):
        what, old, new = (
            ("digest", recorded.digest, digest)
            if digest != recorded.digest
            else ("hash of its evaluations", recorded.evidence, evidence)
        )
        raise ReplayError(
            f"iteration {recorded.number}: the {what} differs: the journal has "
            f"{old[:16]}, the replay gives {new[:16]}"
        )
    return Told(recorded.number, digest, recorded=True)

"""Fold a journal into the agent's state: resume and replay are this one function."""

import itertools
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence

from bqnn.agents import agent
from bqnn.errors import JournalError
from bqnn.evaluation.records import Candidate, CandidateId, Evaluation
from bqnn.search import calibration, ladder, rounds
from bqnn.search.digests import same_digest
from bqnn.search.events import (
    Asked,
    Event,
    Refitted,
    Retried,
    Told,
    TrainedInFull,
)
from bqnn.search.history import Ask, History, Learnt, Round, Tell, WarmStart
from bqnn.search.problem import Problem, with_fit, with_given
from bqnn.search.settled import (
    in_full,
    recorded_event,
    settled_evaluations,
    told_batches,
)
from bqnn.search.state import (
    SearchState,
    ask_again,
    batch_digest,
    first_state,
    tell_batch,
    told_again,
)


class ReplayError(JournalError):
    """A journal that does not give the trajectory it records."""


def fold(problem: Problem, history: History) -> Generator[Event, None, SearchState]:
    """Tell the agent all that the journal records, checking every step.

    Every batch asked is asked again and must come out the same; after every batch told
    the digest must be the one recorded (`bqnn.search.digests`).

    Args:
      problem: the search that the journal belongs to; what it was given is read from
        the journal.
      history: what the journal holds.

    Yields:
      The events recorded: attempts that were repeated; batches asked before the first
      tell; evaluations of the batch told, that it was told, a round of full trainings
      if one came then, batches asked then, and so on; at last the evaluations that no
      batch told yet.

    Returns:
      The state of the search.

    Raises:
      ReplayError: names the first iteration that differs.
    """
    problem = with_given(problem, history.given)
    state = first_state(problem, history.given.learnt)
    if history.warm_start:
        _check_start(state, history.given.learnt, history.warm_start)
    finals, asks = settled_evaluations(history), _by_told(history.asks)
    candidates = {c.id: c for ask in history.asks for c in ask.candidates}
    untold = dict.fromkeys(i for i in finals if i in candidates)
    pending: dict[CandidateId, Candidate] = {}
    yield from _retries(history, finals)
    for told, tell in enumerate((*history.tells, None)):
        if this := _round_after(told, history):
            problem, state = yield from _check_round(problem, state, history, this)
        for ask in asks[told]:
            yield _check_ask(problem, state, ask, pending)
        if tell is None:
            break
        batch = [(candidates[i], finals[i]) for i in tell.ids]
        for candidate, evaluation in batch:
            untold.pop(candidate.id, None)
            del pending[candidate.id]
            yield recorded_event(problem, candidate, evaluation)
        state = tell_batch(problem, state, batch)
        yield _check_tell(problem, state, tell, batch, history.digest_before(told))
    for candidate_id in untold:
        yield recorded_event(problem, candidates[candidate_id], finals[candidate_id])
    return state


def _by_told(asks: Sequence[Ask]) -> Mapping[int, list[Ask]]:
    """Group asks by the number of batches that were told before them."""
    found = defaultdict(list)
    for ask in asks:
        found[ask.told].append(ask)
    return found


def _round_after(told: int, history: History) -> Round | None:
    """Find the round that came after so many batches told."""
    return next((this for this in history.rounds if this.told == told), None)


def _check_round(
    problem: Problem, state: SearchState, history: History, recorded: Round
) -> Generator[Event, None, tuple[Problem, SearchState]]:
    """Choose the blocks of a round again; tell the agent all again by its fit."""
    number, where = recorded.number, f"round {recorded.number}"
    before = history._replace(rounds=history.rounds[: number + 1])
    told = told_batches(history, recorded.told)
    found = rounds.choose(problem, told, history.rounds[:number])
    if found.candidates != recorded.candidates:
        raise ReplayError(f"{where}: the blocks to train in full differ")
    full = in_full(before)
    for candidate, evaluation in full:
        if candidate in recorded.candidates:
            yield TrainedInFull(candidate, evaluation, recorded=True)
    if not recorded.ended:
        return problem, state
    if not calibration.same(rounds.learn(told, full), recorded.fit):
        raise ReplayError(f"{where}: the fit differs")
    problem = with_fit(problem, recorded.fit)
    state = told_again(problem, history.given.learnt, told)
    _compare(where, "digest", recorded.digest, agent.digest(state.agent))
    known = tuple(
        recorded_event(problem, *pair) for pair in itertools.chain.from_iterable(told)
    )
    yield Refitted(number, recorded.fit, known, recorded.digest, recorded=True)
    return problem, state


def _retries(
    history: History, finals: Mapping[CandidateId, Evaluation]
) -> Iterator[Retried]:
    """Yield the attempts that were repeated."""
    full = [c for this in history.rounds for c in this.candidates]
    asked = [c for ask in history.asks for c in ask.candidates]
    candidates = {candidate.id: candidate for candidate in (*asked, *full)}
    for candidate_id, attempts in history.attempts.items():
        for attempt in attempts[: -1 if candidate_id in finals else None]:
            yield Retried(candidates[candidate_id], attempt, recorded=True)


def warm_start(state: SearchState, learnt: Sequence[Learnt]) -> WarmStart:
    """Hash what the agent was told before the first batch, and its state after that."""
    told = [(result.candidate, result.evaluation) for result in learnt]
    return WarmStart(agent.digest(state.agent), batch_digest(told))


def _check_start(
    state: SearchState, learnt: Sequence[Learnt], recorded: WarmStart
) -> None:
    found = warm_start(state, learnt)
    where = "before iteration 0, what was learnt"
    _compare(where, "digest", recorded.digest, found.digest)
    _compare(where, "hash of it", recorded.batch_digest, found.batch_digest)


def _check_ask(
    problem: Problem,
    state: SearchState,
    recorded: Ask,
    pending: dict[CandidateId, Candidate],
) -> Asked:
    """Ask the batch again: the same epsilon, the same blocks. They are pending then."""
    blocks, epsilon = ask_again(problem, state, recorded, pending.values())
    pending.update({candidate.id: candidate for candidate in recorded.candidates})
    if epsilon != recorded.epsilon:
        raise ReplayError(
            f"iteration {recorded.iteration}: epsilon differs: the journal has "
            f"{recorded.epsilon}, the replay asks with {epsilon}"
        )
    reach = ladder.standing(state.ladder)
    if recorded.standing != reach:
        raise ReplayError(
            f"iteration {recorded.iteration}: rungs differ: the journal has "
            f"{recorded.standing}, the replay gives {reach}"
        )
    for candidate, block in zip(recorded.candidates, blocks, strict=True):
        if candidate.block != block:
            raise ReplayError(
                f"iteration {recorded.iteration}: slot {candidate.slot} differs: the "
                f"journal has {candidate.block}, the replay asks {block}"
            )
    return Asked(recorded.iteration, recorded.epsilon, recorded=True)


def _check_tell(
    problem: Problem,
    state: SearchState,
    recorded: Tell,
    batch: Sequence[tuple[Candidate, Evaluation]],
    previous: str,
) -> Told:
    """Compare the agent's state, and what it was told, with the journal."""
    digest = same_digest(problem, state.agent, recorded.digest, previous)
    where = f"iteration {recorded.number}"
    _compare(where, "digest", recorded.digest, digest)
    evidence = batch_digest(batch)
    _compare(where, "hash of its evaluations", recorded.batch_digest, evidence)
    return Told(recorded.number, digest, recorded=True)


def _compare(where: str, what: str, old: str, new: str) -> None:
    if old != new:
        raise ReplayError(
            f"{where}: the {what} differs: the journal has {old[:16]}, the replay "
            f"gives {new[:16]}"
        )

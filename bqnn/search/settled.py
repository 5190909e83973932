"""Settled evaluations of a journal, and their rewards, without agent and jax."""

import dataclasses
from collections.abc import Iterator, Sequence

from bqnn.evaluation.records import Candidate, CandidateId, Evaluation, is_settled
from bqnn.search.events import Evaluated
from bqnn.search.history import Batch, History
from bqnn.search.problem import Problem, with_fit
from bqnn.search.reward import Reward, last_accuracy


def evaluated(
    problem: Problem, history: History, reward: Reward | None = None
) -> Iterator[Evaluated]:
    """Yield what is known of every candidate that is done.

    Args:
      problem: of the search.
      history: its journal.
      reward: by which they are rewarded; by the last fit of the search, if there is
        one, or else as its configuration says.
    """
    finals = settled_evaluations(history)
    reward = reward or with_fit(problem, history.fit).reward
    problem = dataclasses.replace(problem, reward=reward)
    for ask in history.asks:
        for candidate in ask.candidates:
            if candidate.id in finals:
                yield recorded_event(problem, candidate, finals[candidate.id])


def settled_evaluations(history: History) -> dict[CandidateId, Evaluation]:
    """Map the id of every candidate that is done to its final evaluation."""
    return {
        candidate_id: attempts[-1]
        for candidate_id, attempts in history.attempts.items()
        if is_settled([attempt.status for attempt in attempts])
    }


def untold(history: History) -> list[Candidate]:
    """List the candidates that were asked and not told, in the order asked."""
    told = {candidate_id for tell in history.tells for candidate_id in tell.ids}
    asked = (candidate for ask in history.asks for candidate in ask.candidates)
    return [candidate for candidate in asked if candidate.id not in told]


def told_batches(history: History, count: int | None = None) -> list[Batch]:
    """List what was told, batch by batch; the first `count` batches, or all."""
    finals = settled_evaluations(history)
    candidates = {c.id: c for ask in history.asks for c in ask.candidates}
    return [
        [(candidates[i], finals[i]) for i in tell.ids] for tell in history.tells[:count]
    ]


def in_full(history: History) -> list[tuple[Candidate, Evaluation]]:
    """List what was trained in full."""
    finals = settled_evaluations(history)
    blocks = (candidate for this in history.rounds for candidate in this.candidates)
    return [(block, finals[block.id]) for block in blocks if block.id in finals]


def recorded_event(
    problem: Problem, candidate: Candidate, evaluation: Evaluation
) -> Evaluated:
    """Make the event of a final evaluation that the journal holds."""
    reward = problem.reward(candidate, evaluation)
    return Evaluated(candidate, evaluation, reward, recorded=True)


def ranking(events: Sequence[Evaluated]) -> list[Evaluated]:
    """Sort evaluations with an accuracy, best reward first, one per canonical block.

    Of equal rewards, the one asked first comes first, as in `Summary.best`.
    """
    known = [e for e in events if last_accuracy(e.candidate, e.evaluation) is not None]
    best: dict[str, Evaluated] = {}
    for event in sorted(known, key=lambda e: (-e.reward, e.candidate.id)):
        best.setdefault(event.candidate.hash, event)
    return list(best.values())

"""Settled evaluations of a journal, and their rewards, without agent and jax."""

from collections.abc import Iterator, Sequence

from bqnn.evaluation.records import Candidate, CandidateId, Evaluation, is_settled
from bqnn.search.events import Evaluated
from bqnn.search.history import History
from bqnn.search.problem import Problem
from bqnn.search.reward import last_accuracy


def evaluated(problem: Problem, history: History) -> Iterator[Evaluated]:
    """Yield what is known of every candidate that is done."""
    finals = settled_evaluations(history)
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

"""Timing of a search: phases, what each worker did when; its failures by status."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from bqnn.evaluation.records import Evaluation, Status, taught
from bqnn.report.rows import Times, busy_seconds
from bqnn.search.history import History
from bqnn.search.settled import settled_evaluations
from bqnn.search.summary import headline

AttemptId = tuple[int, int, int]  # iteration, slot, attempt


class Span(NamedTuple):
    """The work of a worker at one attempt.

    Attributes:
      worker: its name.
      start, end: in seconds since 1970; the end is the time of the record.
      status: how it ended.
      iteration, slot, attempt: id of the attempt.
    """

    worker: str
    start: float
    end: float
    status: str
    iteration: int
    slot: int
    attempt: int


class Failure(NamedTuple):
    """Attempts that ended in one way other than an accuracy.

    Attributes:
      status: how they ended.
      candidates: number of candidates that it settled.
      repeated: number of attempts that were repeated.
      messages: first lines of the errors with their counts, most frequent first.
    """

    status: str
    candidates: int
    repeated: int
    messages: list[tuple[str, int]]


def phases(history: History) -> dict[str, float]:
    """Add up the seconds of every phase, over all attempts, longest first.

    `hidden` is the part of the preparation that went on while another candidate of the
    same worker trained.
    """
    total: Counter[str] = Counter()
    for _, evaluation in _attempts(history):
        total.update(evaluation.seconds)
    return dict(total.most_common())


def spans(history: History, times: Times) -> list[Span]:
    """List the work of all workers, in order of its end.

    The journal records when an attempt ended and how long its phases took; the start is
    the difference.
    """
    found = []
    for attempt, evaluation in _attempts(history):
        busy, end = busy_seconds(evaluation.seconds), times.get(attempt)
        if end is not None and busy > 0:
            worker = evaluation.worker or "no worker named"
            span = Span(worker, end - busy, end, str(evaluation.status), *attempt)
            found.append(span)
    return sorted(found, key=lambda span: span.end)


def failures(history: History) -> list[Failure]:
    """Sum up by status all attempts that gave no accuracy."""
    finals = settled_evaluations(history)
    ended: dict[Status, list[tuple[Evaluation, bool]]] = {}
    for attempt, evaluation in _attempts(history):
        if not taught(evaluation):
            candidate, number = attempt[:2], attempt[2]
            last = number == len(history.attempts[candidate])
            final = last and candidate in finals
            ended.setdefault(evaluation.status, []).append((evaluation, final))
    return [
        Failure(
            str(status),
            sum(final for _, final in attempts),
            sum(not final for _, final in attempts),
            Counter(headline(e) for e, _ in attempts).most_common(),
        )
        for status, attempts in sorted(ended.items())
    ]


def _attempts(history: History) -> Iterator[tuple[AttemptId, Evaluation]]:
    """Yield every attempt except the copies of a twin's result."""
    for candidate, attempts in history.attempts.items():
        for number, evaluation in enumerate(attempts, 1):
            if evaluation.status != Status.REUSED:
                yield (*candidate, number), evaluation

"""What the time of a search went to, and what went wrong."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from bqnn.evaluation.records import Evaluation, Status
from bqnn.report.rows import Times, busy_seconds
from bqnn.search.fold import settled_evaluations
from bqnn.search.history import History
from bqnn.search.summary import headline

CandidateId = tuple[int, int, int]


class Span(NamedTuple):
    """What a worker did for one attempt.

    Attributes:
      worker: which one.
      start, end: in seconds since 1970; the end is when it was recorded.
      status: how it ended.
      iteration, slot, attempt: what it was for.
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
      candidates: how many candidates it was final for.
      repeated: attempts after which the candidate was tried again.
      messages: first lines of the errors and how often each came, most often first.
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
    """List what every worker did, in order of its end.

    The journal records when an attempt ended and how long its phases took; the start is
    the difference.
    """
    found = []
    for place, evaluation in _attempts(history):
        busy, end = busy_seconds(evaluation.seconds), times.get(place)
        if end is not None and busy > 0:
            worker = evaluation.worker or "no worker named"
            span = Span(worker, end - busy, end, str(evaluation.status), *place)
            found.append(span)
    return sorted(found, key=lambda span: span.end)


def failures(history: History) -> list[Failure]:
    """Sum up by status all attempts that gave no accuracy."""
    finals = settled_evaluations(history)
    ended: dict[Status, list[tuple[Evaluation, bool]]] = {}
    for place, evaluation in _attempts(history):
        if evaluation.status != Status.OK:
            last = place[2] == len(history.attempts[place[:2]])
            final = last and place[:2] in finals
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


def _attempts(history: History) -> Iterator[tuple[CandidateId, Evaluation]]:
    """Yield every attempt but the copies of a twin's result."""
    for place, attempts in history.attempts.items():
        for number, evaluation in enumerate(attempts, 1):
            if evaluation.status != Status.REUSED:
                yield (*place, number), evaluation

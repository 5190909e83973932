"""Summary: a search in numbers, as a pure fold over its events."""

from typing import NamedTuple

from bqnn.errors import printable
from bqnn.evaluation.records import Evaluation, Status, outcome
from bqnn.search.calibration import Fit
from bqnn.search.events import (
    Asked,
    Evaluated,
    Event,
    Refitted,
    Retried,
    Told,
    TrainedInFull,
)
from bqnn.search.reward import last_accuracy

TOP = 5
# Characters of a cause: a terminal needs minutes to lay out a megabyte.
_HEADLINE = 500


class Summary(NamedTuple):
    """The numbers of a search so far.

    Attributes:
      iterations: batches in all.
      batch: candidates per batch.
      told: batches told.
      epsilon: of the last batch asked, None before.
      counts: final evaluations by outcome; the twin of a failure counts as a failure.
      retries: attempts that were repeated, by status.
      causes: the last error of each status, on one line.
      fresh: those that happened in this process.
      best: the candidates of highest reward, one per canonical block, best first.
      digest: of the agent's state after the last batch told.
      in_full: blocks trained in full, to learn the reward.
      fit: by which blocks are rewarded; None where the reward is not learnt.
      top: how many of the best to keep.
    """

    iterations: int
    batch: int
    told: int = 0
    epsilon: float | None = None
    counts: dict[Status, int] = {}
    retries: dict[Status, int] = {}
    causes: dict[Status, str] = {}
    fresh: int = 0
    best: tuple[Evaluated, ...] = ()
    digest: str = ""
    in_full: int = 0
    fit: Fit | None = None
    top: int = TOP

    @property
    def total(self) -> int:
        """Candidates in all."""
        return self.iterations * self.batch

    @property
    def done(self) -> int:
        """Candidates with a final evaluation."""
        return sum(self.counts.values())

    @property
    def reused(self) -> int:
        """Candidates that took the accuracy of a canonical twin."""
        return self.counts.get(Status.REUSED, 0)

    @property
    def stopped(self) -> int:
        """Candidates that stopped at a rung."""
        return self.counts.get(Status.STOPPED, 0)

    @property
    def failed(self) -> int:
        """Candidates without an accuracy."""
        return sum(self.failures.values())

    @property
    def failures(self) -> dict[Status, int]:
        """Candidates without an accuracy, by outcome."""
        known = (Status.OK, Status.STOPPED, Status.REUSED)
        return {s: n for s, n in sorted(self.counts.items()) if s not in known}

    @property
    def complete(self) -> bool:
        """Whether every batch was told."""
        return self.told == self.iterations


def update(summary: Summary, event: Event) -> Summary:
    """Take in one event."""
    if isinstance(event, Asked):
        return summary._replace(epsilon=event.epsilon)
    if isinstance(event, Told):
        return summary._replace(told=event.number + 1, digest=event.digest)
    if isinstance(event, Refitted):
        return _rewarded_anew(summary, event)
    status = event.evaluation.status
    summary = summary._replace(causes=_causes(summary.causes, event.evaluation))
    if isinstance(event, Retried):
        return summary._replace(retries=_count(summary.retries, status))
    if isinstance(event, TrainedInFull):
        return summary._replace(in_full=summary.in_full + 1)
    return summary._replace(
        counts=_count(summary.counts, outcome(event.evaluation)),
        fresh=summary.fresh + (not event.recorded),
        best=_best(summary.best, event, summary.top),
    )


def _rewarded_anew(summary: Summary, event: Refitted) -> Summary:
    """Choose the best again, by another reward than before."""
    best: tuple[Evaluated, ...] = ()
    for evaluated in event.evaluated:
        best = _best(best, evaluated, summary.top)
    fit, digest = event.fit or summary.fit, event.digest
    return summary._replace(best=best, fit=fit, digest=digest)


def recorded(summary: Summary) -> str:
    """Say what is safe, and how to go on."""
    return (
        f"{summary.done} of {summary.total} candidates are recorded; "
        "run the same command"
    )


def _count(counts: dict[Status, int], status: Status) -> dict[Status, int]:
    return {**counts, status: counts.get(status, 0) + 1}


def _causes(causes: dict[Status, str], evaluation: Evaluation) -> dict[Status, str]:
    if not evaluation.error or evaluation.status == Status.REUSED:
        return causes
    return {**causes, evaluation.status: headline(evaluation)}


def headline(evaluation: Evaluation) -> str:
    """Return the first line of an evaluation's error, shortened and printable."""
    first = evaluation.error[:_HEADLINE].splitlines() or ["no cause given"]
    return printable(first[0])


def _best(
    best: tuple[Evaluated, ...], event: Evaluated, top: int
) -> tuple[Evaluated, ...]:
    # A training that diverged has accuracies too, of its first epochs.
    if last_accuracy(event.candidate, event.evaluation) is None:
        return best
    # Twins differ in density, so in reward: the better way to write a block counts.
    sha = event.candidate.hash
    twins = [e for e in best if e.candidate.hash == sha]
    if any(_rank(twin) <= _rank(event) for twin in twins):
        return best
    others = (e for e in best if e.candidate.hash != sha)
    return tuple(sorted((*others, event), key=_rank)[:top])


def _rank(event: Evaluated) -> tuple[float, tuple[int, int]]:
    """Order by reward, then by id: the same in every replay."""
    return -event.reward, event.candidate.id

"""A search in numbers: a pure fold over its events."""

from typing import NamedTuple

from bqnn.events import Asked, Evaluated, Event, Told
from bqnn.records import Status

TOP = 5


class Summary(NamedTuple):
    """What is known of a search so far.

    Attributes:
      iterations: batches in all.
      batch: candidates per batch.
      told: batches told.
      epsilon: of the last batch asked, None before.
      counts: final evaluations by status.
      fresh: those that happened in this process.
      best: the candidates of highest reward, one per canonical block, best first.
      digest: of the agent's state after the last batch told.
    """

    iterations: int
    batch: int
    told: int = 0
    epsilon: float | None = None
    counts: dict[Status, int] = {}
    fresh: int = 0
    best: tuple[Evaluated, ...] = ()
    digest: str = ""

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
        """Candidates that took the result of a canonical twin."""
        return self.counts.get(Status.REUSED, 0)

    @property
    def failed(self) -> int:
        """Candidates that gave no accuracy of their own."""
        return self.done - self.reused - self.counts.get(Status.OK, 0)

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
    status = event.evaluation.status
    counts = {**summary.counts, status: summary.counts.get(status, 0) + 1}
    return summary._replace(
        counts=counts,
        fresh=summary.fresh + (not event.recorded),
        best=_best(summary.best, event),
    )


def _best(best: tuple[Evaluated, ...], event: Evaluated) -> tuple[Evaluated, ...]:
    if not event.evaluation.accuracy:
        return best
    # Twins differ in density, so in reward: the better way to write a block counts.
    sha = event.candidate.hash
    twins = [e for e in best if e.candidate.hash == sha]
    if any(_rank(twin) <= _rank(event) for twin in twins):
        return best
    others = (e for e in best if e.candidate.hash != sha)
    return tuple(sorted((*others, event), key=_rank)[:TOP])


def _rank(event: Evaluated) -> tuple[float, tuple[int, int]]:
    """Order by reward, then by who was asked first: the same in every replay."""
    return -event.reward, event.candidate.place

"""History: all that a journal records of a search."""

from collections.abc import Sequence
from typing import NamedTuple

from bqnn.config import Config
from bqnn.evaluation.records import (
    Candidate,
    CandidateId,
    Evaluation,
    Standing,
    Status,
    is_settled,
)
from bqnn.networks.plan import ImageSpec
from bqnn.search.calibration import Fit
from bqnn.space.nsc import Block


class Run(NamedTuple):
    """All that a search depends on.

    Attributes:
      config: the configuration.
      images: shape of the images and number of classes.
      fingerprint: hash of the training and validation images.
      versions: of Python and the libraries.
    """

    config: Config
    images: ImageSpec
    fingerprint: str
    versions: dict[str, str]


Batch = Sequence[tuple[Candidate, Evaluation]]
"""What is told at once, in this order."""


class Ask(NamedTuple):
    """A batch asked.

    Attributes:
      iteration: its number, from 0.
      told: how many batches the agent had been told by then.
      epsilon: of the exploration.
      candidates: in the order of their slots.
    """

    iteration: int
    told: int
    epsilon: float
    candidates: tuple[Candidate, ...]

    @property
    def standing(self) -> Standing:
        """What its candidates must reach."""
        first = self.candidates[0]
        return Standing(first.rungs, first.repeat_from)


class Tell(NamedTuple):
    """A batch told.

    Attributes:
      number: how many were told before.
      ids: of its candidates, in the order told.
      digest: of the agent's state afterwards, as `bqnn.search.digests` says.
      batch_digest: hash of the candidates and of their evaluations.
    """

    number: int
    ids: tuple[CandidateId, ...]
    digest: str
    batch_digest: str


class Learnt(NamedTuple):
    """A result of an earlier search, told before the first batch.

    Attributes:
      workdir: of the earlier search, as it was given.
      candidate: its iteration, slot and seed there; all else as this search has it.
      accuracy: after each epoch, as fractions.
    """

    workdir: str
    candidate: Candidate
    accuracy: tuple[float, ...]

    @property
    def evaluation(self) -> Evaluation:
        """The result, to be rewarded."""
        return Evaluation(Status.OK, self.accuracy)


class Given(NamedTuple):
    """What a search is given before its first batch.

    Attributes:
      learnt: results of earlier searches, in the order told.
      first: blocks that take the first slots, in their order.
    """

    learnt: tuple[Learnt, ...] = ()
    first: tuple[Block, ...] = ()


class Round(NamedTuple):
    """A round of full trainings.

    Attributes:
      number: from 0.
      told: batches told before it.
      candidates: the blocks to train in full; their iteration is beyond the schedule.
      fit: to all that was trained in full by its end; None if that is too little.
      digest: of the agent's state by the new reward; empty before the round has ended.
    """

    number: int
    told: int
    candidates: tuple[Candidate, ...]
    fit: Fit | None = None
    digest: str = ""

    @property
    def ended(self) -> bool:
        """Whether the fit is known."""
        return bool(self.digest)


class WarmStart(NamedTuple):
    """The agent after it was told the results of earlier searches.

    Attributes:
      digest: of its whole state.
      batch_digest: hash of all that it was told.
    """

    digest: str
    batch_digest: str


Attempts = dict[CandidateId, tuple[Evaluation, ...]]
"""The evaluations of each candidate, in order."""


class History(NamedTuple):
    """All that a journal holds, in order.

    Attributes:
      asks: by iteration.
      attempts: the evaluations of each candidate, by id.
      tells: by number.
      given: what the search was given before.
      rounds: of full trainings, by number.
      warm_start: the agent after that, None if it was told nothing.
    """

    asks: tuple[Ask, ...]
    attempts: Attempts
    tells: tuple[Tell, ...]
    given: Given = Given()
    rounds: tuple[Round, ...] = ()
    warm_start: WarmStart | None = None

    @property
    def last_digest(self) -> str:
        """Return the digest of the last batch told or round ended, or nothing."""
        return self.digest_before(len(self.tells))

    def digest_before(self, number: int) -> str:
        """Return the digest recorded before batch `number` was told, or nothing."""
        for this in self.rounds:
            if this.ended and this.told == number:
                return this.digest
        return self.tells[number - 1].digest if number else ""

    @property
    def fit(self) -> Fit | None:
        """Return the last fit, by which blocks are rewarded; None before."""
        fits = [ended.fit for ended in self.rounds if ended.fit]
        return fits[-1] if fits else None

    @property
    def trained(self) -> int:
        """Count the candidates with a final evaluation of their own."""
        statuses = ([e.status for e in es] for es in self.attempts.values())
        return sum(s[-1] != Status.REUSED and is_settled(s) for s in statuses)

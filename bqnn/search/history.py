"""History: all that a journal records of a search."""

from typing import NamedTuple

from bqnn.config import Config
from bqnn.evaluation.records import (
    Candidate,
    CandidateId,
    Evaluation,
    Status,
    is_settled,
)
from bqnn.networks.plan import ImageSpec


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


Attempts = dict[CandidateId, tuple[Evaluation, ...]]
"""The evaluations of each candidate, in order."""


class History(NamedTuple):
    """All that a journal holds, in order.

    Attributes:
      asks: by iteration.
      attempts: the evaluations of each candidate, by id.
      tells: by number.
    """

    asks: tuple[Ask, ...]
    attempts: Attempts
    tells: tuple[Tell, ...]

    @property
    def last_digest(self) -> str:
        """Return the digest of the last batch told, or nothing."""
        return self.tells[-1].digest if self.tells else ""

    @property
    def trained(self) -> int:
        """Count the candidates with a final evaluation of their own."""
        statuses = ([e.status for e in es] for es in self.attempts.values())
        return sum(s[-1] != Status.REUSED and is_settled(s) for s in statuses)

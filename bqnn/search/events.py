"""Events of a search, as they happen or as the journal recorded them."""

from typing import NamedTuple

from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.search.calibration import Fit


class Asked(NamedTuple):
    """A batch was asked, and is in flight.

    Attributes:
      iteration: its number, from 0.
      epsilon: of its exploration.
      recorded: whether it was read from the journal.
    """

    iteration: int
    epsilon: float
    recorded: bool


class Evaluated(NamedTuple):
    """A candidate has its final evaluation.

    Attributes:
      candidate: the candidate.
      evaluation: its final one.
      reward: what the agent is, or will be, told.
      recorded: whether it was read from the journal.
    """

    candidate: Candidate
    evaluation: Evaluation
    reward: float
    recorded: bool


class Retried(NamedTuple):
    """An attempt at a candidate ended in a way that does not count yet.

    Attributes:
      candidate: the candidate, which will be tried again.
      evaluation: how the attempt ended.
      recorded: whether it was read from the journal.
    """

    candidate: Candidate
    evaluation: Evaluation
    recorded: bool


class Told(NamedTuple):
    """A batch was told to the agent.

    Attributes:
      number: how many were told before.
      digest: of the agent's state afterwards, as `bqnn.search.digests` says.
      recorded: whether it was read from the journal.
    """

    number: int
    digest: str
    recorded: bool


class TrainedInFull(NamedTuple):
    """A block of a round was trained in full (`bqnn.search.rounds`).

    Attributes:
      candidate: the block, with the epochs of its training.
      evaluation: its final one.
      recorded: whether it was read from the journal.
    """

    candidate: Candidate
    evaluation: Evaluation
    recorded: bool


class Refitted(NamedTuple):
    """A round has ended: the reward is what its fit foretells.

    Attributes:
      number: of the round, from 0.
      fit: None if too few blocks could be trained; the reward is what it was then.
      evaluated: all that is known so far, by the new reward.
      digest: of the agent's state, told all that again.
      recorded: whether it was read from the journal.
    """

    number: int
    fit: Fit | None
    evaluated: tuple[Evaluated, ...]
    digest: str
    recorded: bool


Event = Asked | Retried | Evaluated | Told | TrainedInFull | Refitted

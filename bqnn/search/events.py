"""Events of a search, as they happen or as the journal recorded them."""

from typing import NamedTuple

from bqnn.evaluation.records import Candidate, Evaluation


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


Event = Asked | Retried | Evaluated | Told

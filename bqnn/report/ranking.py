"""All blocks of a search by reward, whatever its weights."""

from collections.abc import Sequence
from typing import NamedTuple

from bqnn.config import RewardConfig
from bqnn.search.events import Evaluated
from bqnn.search.fold import evaluated
from bqnn.search.history import History
from bqnn.search.problem import Problem
from bqnn.search.reward import last_accuracy, make_reward


class Rescored(NamedTuple):
    """A block under other weights of the reward.

    Attributes:
      event: its evaluation, with the reward of these weights.
      before: its rank by the search's own weights, from 1.
    """

    event: Evaluated
    before: int


def rescored(
    search: Problem, history: History, weights: RewardConfig
) -> list[Rescored]:
    """Rank the blocks of a search by other weights; the agent has no part in it.

    Args:
      search: the problem that the journal belongs to.
      history: what the journal holds.
      weights: to rank by.
    """
    before = ranking(list(evaluated(search, history)))
    ranks = {event.candidate.hash: rank for rank, event in enumerate(before, 1)}
    reward = make_reward(weights, search.config.network, search.images)
    now = ranking(list(evaluated(search._replace(reward=reward), history)))
    return [Rescored(event, ranks[event.candidate.hash]) for event in now]


def ranking(events: Sequence[Evaluated]) -> list[Evaluated]:
    """Sort what has an accuracy, best reward first, one per canonical block.

    Of equal rewards the one asked first goes before, as in `Summary.best`.
    """
    known = [e for e in events if last_accuracy(e.evaluation) is not None]
    best: dict[str, Evaluated] = {}
    for event in sorted(known, key=lambda e: (-e.reward, e.candidate.id)):
        best.setdefault(event.candidate.hash, event)
    return list(best.values())

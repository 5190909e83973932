"""What is known of agents after many searches: means, intervals, time to a target."""

from typing import NamedTuple

import numpy as np

from bqnn.stats import Floats, Mean, mean


class Runs(NamedTuple):
    """Searches by one agent within one budget.

    Attributes:
      rewards: what it was told, in the order it was asked.  # [S, N]
      reported: what those blocks are worth in truth.  # [S, N]
    """

    rewards: Floats
    reported: Floats


class Summary(NamedTuple):
    """What one agent reaches within one budget.

    Attributes:
      label: of the agent.
      budget: evaluations.
      seeds: searches.
      reported: what its best block is worth in truth.
      regret: how much less than the best there is; None if that is not known.
      needed: evaluations to the target, the median; infinite if most never reach it,
        None without a target.
      reached: share of the searches that reach the target.
      found: share that find the block with the best reward; None if it is not known.
    """

    label: str
    budget: int
    seeds: int
    reported: Mean
    regret: float | None
    needed: float | None
    reached: float | None
    found: float | None


class Best(NamedTuple):
    """What there is to find, where all is known.

    Attributes:
      reward: the largest.
      reported: the largest that can be reported.
      target: the reward of the best thousandth.
    """

    reward: float
    reported: float
    target: float


def summarize(
    label: str, budget: int, runs: Runs, best: Best | None, target: float | None
) -> Summary:
    """Summarize searches.

    Args:
      label: of the agent.
      budget: evaluations of each search.
      runs: the searches.
      best: what there is to find, if it is known.
      target: a reward to reach, if one is wanted.
    """
    reported = mean(best_so_far(runs)[:, -1])
    needed = None if target is None else evaluations_to(runs.rewards, target)
    return Summary(
        label=label,
        budget=budget,
        seeds=len(runs.rewards),
        reported=reported,
        regret=None if best is None else best.reported - float(reported.value),
        needed=None if needed is None else float(np.median(needed)),
        reached=None if needed is None else float(np.isfinite(needed).mean()),
        found=None if best is None else float(found(runs, best.reward)[-1]),
    )


def best_so_far(runs: Runs) -> Floats:
    """Report the first of the best rewarded blocks, after every evaluation.  # [S, N].

    What is reported may fall: the agent does not see it.
    """
    highest = np.maximum.accumulate(runs.rewards, axis=1)
    before = np.concatenate([np.full_like(highest[:, :1], -np.inf), highest], axis=1)
    better = runs.rewards > before[:, :-1]
    last = np.maximum.accumulate(np.where(better, np.arange(better.shape[1]), 0), 1)
    return np.take_along_axis(runs.reported, last, axis=1)


def evaluations_to(rewards: Floats, target: float) -> Floats:
    """Count the evaluations until a reward is `target` or more.

    Returns:
      A count from 1 for every search; infinite where none is.  # [S]
    """
    there = rewards >= target
    return np.where(there.any(axis=1), there.argmax(axis=1) + 1, np.inf)


def found(runs: Runs, best: float) -> Floats:
    """Return the share of searches that found the best, by evaluations.  # [N]."""
    return np.maximum.accumulate(runs.rewards >= best, axis=1).mean(axis=0)

"""Statistics of searches by one agent: means, intervals, evaluations to a target.

Evaluations are counted twice: as asked, and as trained. A block that computes the same
function as an earlier one of its search is not trained again, and costs no time.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn.search.front import hypervolume
from bqnn.stats import Floats, Mean, mean


class Searches(NamedTuple):
    """R searches of N evaluations, by one agent.

    Attributes:
      rewards: of the blocks in the order asked, `[R, N]`; by the last fit of a search
        that learns its reward.
      true_values: the accuracies to report of the same blocks, `[R, N]`.
      trained: how many different functions were asked so far, and what full trainings
        cost by then, in evaluations; `[R, N]`.
      seconds: how long these took to train, one after the other; NaN if it is not
        known. `[R, N]`.
      log_costs: ln of the cost of the network of each block; NaN if it is not known.
        `[R, N]`.
    """

    rewards: Floats
    true_values: Floats
    trained: Floats
    seconds: Floats
    log_costs: Floats


Course = Callable[[Searches], Floats]
"""(R searches of N evaluations) -> what they had found after each, `[R, N]`."""


class AgentSummary(NamedTuple):
    """The results of one agent within one budget.

    Attributes:
      label: of the agent.
      budget: evaluations.
      seeds: searches.
      true_value: of the block with the best reward, or the hypervolume.
      regret: the optimum less `true_value`; None if the optimum is not known.
      needed: median of the evaluations to the target; infinite if most searches never
        reach it, None without a target.
      reached: share of the searches that reach the target.
      found: share that find the block with the best reward; None if it is not known.
      trained: mean number of different functions asked, full trainings added.
      seconds: mean time to train them; NaN if it is not known.
    """

    label: str
    budget: int
    seeds: int
    true_value: Mean
    regret: float | None
    needed: float | None
    reached: float | None
    found: float | None
    trained: float
    seconds: float


class Optimum(NamedTuple):
    """The best results of a tabular benchmark.

    Attributes:
      reward: the largest; None if each search has learnt another.
      true_value: the largest.
      target: the reward that one block in a thousand reaches; None likewise.
    """

    reward: float | None
    true_value: float
    target: float | None


def count_searches(
    rewards: Floats,
    true_values: Floats,
    functions: NDArray[np.uint32],
    times: Floats,
    log_costs: Floats,
) -> Searches:
    """Count what was trained.

    Args:
      rewards: as in `Searches`, `[R, N]`.
      true_values: as there, `[R, N]`.
      functions: a number for every block, the same for those that compute the same
        function; uint32 `[R, N]`.
      times: seconds to train every block, NaN if it is not known; `[R, N]`.
      log_costs: as in `Searches`, `[R, N]`.
    """
    new = np.zeros(functions.shape, bool)
    for row, marks in zip(functions, new, strict=True):
        marks[np.unique(row, return_index=True)[1]] = True
    trained = np.cumsum(new, axis=1, dtype=np.float64)
    seconds = np.cumsum(np.where(new, times, 0), axis=1, dtype=np.float64)
    return Searches(rewards, true_values, trained, seconds, log_costs)


def added(spent: Floats, ends: Sequence[int], amounts: Floats) -> Floats:
    """Add what was spent after so many evaluations.

    Args:
      spent: in sum after every evaluation, `[R, N]`.
      ends: evaluations before each amount, one or more.
      amounts: what was spent then, `[R, amounts]`.
    """
    spent = spent.copy()
    for end, amount in zip(ends, amounts.T, strict=True):
        spent[:, min(end, spent.shape[1]) - 1 :] += amount[:, None]
    return spent


def summarize(
    label: str,
    budget: int,
    searches: Searches,
    optimum: Optimum | None,
    target: float | None,
    course: Course | None = None,
) -> AgentSummary:
    """Summarize searches.

    Args:
      label: of the agent.
      budget: evaluations of each search.
      searches: the searches.
      optimum: of the benchmark, if it is known.
      target: a reward to reach, if one is wanted.
      course: what is compared; `best_so_far` if it is not given.
    """
    true_value = mean((course or best_so_far)(searches)[:, -1])
    needed = None if target is None else evaluations_to(searches.rewards, target)
    return AgentSummary(
        label=label,
        budget=budget,
        seeds=len(searches.rewards),
        true_value=true_value,
        regret=None
        if optimum is None
        else optimum.true_value - float(true_value.value),
        needed=None if needed is None else float(np.median(needed)),
        reached=None if needed is None else float(np.isfinite(needed).mean()),
        found=None
        if optimum is None or optimum.reward is None
        else float(found(searches, optimum.reward)[-1]),
        trained=float(searches.trained[:, -1].mean()),
        seconds=float(searches.seconds[:, -1].mean()),
    )


def best_so_far(searches: Searches) -> Floats:
    """Return the true value of the best rewarded block after every evaluation.

    Of equal rewards the first counts. The true value may fall, since agents do not see
    it.

    Returns:
      True values, `[R, N]`.
    """
    highest = np.maximum.accumulate(searches.rewards, axis=1)
    before = np.concatenate([np.full_like(highest[:, :1], -np.inf), highest], axis=1)
    better = searches.rewards > before[:, :-1]
    last = np.maximum.accumulate(np.where(better, np.arange(better.shape[1]), 0), 1)
    return np.take_along_axis(searches.true_values, last, axis=1)


def hypervolumes(low: float, high: float) -> Course:
    """Make the course of the hypervolume (`bqnn.search.front`).

    Within each limit the best rewarded block counts, with its true value.

    Args:
      low: ln of the least limit.
      high: ln of the largest.
    """

    def course(searches: Searches) -> Floats:
        rows = zip(searches.rewards, searches.log_costs, strict=True)
        pairs = zip(rows, searches.true_values, strict=True)
        return np.array([_areas(*row, true, low, high) for row, true in pairs])

    return course


def _areas(
    rewards: Floats, costs: Floats, true_values: Floats, low: float, high: float
) -> list[float]:
    areas: list[float] = []
    for count in range(1, len(rewards) + 1):
        told = rewards[:count], costs[:count]
        areas.append(hypervolume(*told, low, high, true_values[:count]))
    return areas


def evaluations_to(rewards: Floats, target: float) -> Floats:
    """Count the evaluations until a reward is `target` or more.

    Returns:
      Counts from 1, `[R]`; infinite for a search that never reaches it.
    """
    there = rewards >= target
    return np.where(there.any(axis=1), there.argmax(axis=1) + 1, np.inf)


def found(searches: Searches, best: float) -> Floats:
    """Return the share of searches that found a reward of `best`.

    Returns:
      Shares after every evaluation, `[N]`.
    """
    return np.maximum.accumulate(searches.rewards >= best, axis=1).mean(axis=0)

"""Rows of a search, one per evaluation, for tables and `pandas.DataFrame`; rankings."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bqnn.errors import printable
from bqnn.evaluation.records import Status
from bqnn.networks.cost import Density
from bqnn.networks.plan import fitted
from bqnn.search.events import Evaluated
from bqnn.search.front import front_of
from bqnn.search.history import History
from bqnn.search.problem import Problem
from bqnn.search.reward import Reward, last_accuracy
from bqnn.search.settled import evaluated, ranking
from bqnn.search.summary import headline

Times = Mapping[tuple[int, int, int], float]


class EvaluationRow(NamedTuple):
    """The settled evaluation of a candidate.

    Attributes:
      iteration, slot: id of the candidate.
      block: its NSC.
      layers: their number, without the Terminal.
      hash: canonical hash of the function that the block computes.
      status: how the evaluation ended.
      attempts: their number.
      epochs: passes over the training part that were measured: not all of them if it
        stopped at a rung or diverged.
      trainings: how many there were, each of so many epochs (`train.repeats`).
      accuracy: early-stop accuracy after the last epoch, the mean of all trainings;
        None if there is none.
      reward: the reward that the agent is told.
      flops: of the block.
      network_flops: of the whole network.
      params: of the whole network.
      repeats: N, blocks per stage of the network.
      density: edges over nodes of the block.
      latency: of the network for one image, in nanoseconds, by the search's table;
        None without one.
      seconds: busy time of the worker in the last attempt; 0 for a reused result.
      worker: its name.
      finished: time of the record, in seconds since 1970.
      source: of a result of another search, that search; or nothing.
      error: first line of the error, or nothing.
    """

    iteration: int
    slot: int
    block: str
    layers: int
    hash: str
    status: str
    attempts: int
    epochs: int
    trainings: int
    accuracy: float | None
    reward: float
    flops: int
    network_flops: int
    params: int
    repeats: int
    density: float
    latency: int | None
    seconds: float
    worker: str
    finished: float
    source: str
    error: str

    @property
    def failed(self) -> bool:
        """Whether the candidate taught no accuracy of its own."""
        stopped = self.status in (Status.STOPPED, Status.REUSED) and self.epochs > 0
        return self.accuracy is None and not stopped


def rows(problem: Problem, history: History, times: Times) -> list[EvaluationRow]:
    """List every settled evaluation, in the order asked.

    Args:
      problem: of the search.
      history: its journal.
      times: seconds since 1970 of each record, by iteration, slot and attempt.
    """
    return [
        _row(problem, event, len(history.attempts[event.candidate.id]), times)
        for event in evaluated(problem, history)
    ]


def front(found: Sequence[EvaluationRow], *costs: str) -> list[int]:
    """Find the Pareto front of accuracy against costs.

    Args:
      found: the rows.
      *costs: fields to be small: `flops`, `network_flops`, `params` or `latency`.

    Returns:
      Indices of the rows on the front, cheapest first, by the first cost: each is more
      accurate than all that cost as little. Of equals, the one asked first.
    """
    accuracies = [math.nan if row.accuracy is None else row.accuracy for row in found]
    return front_of(accuracies, log_costs(found, *costs)).tolist()


def log_costs(found: Sequence[EvaluationRow], *costs: str) -> list[list[float]]:
    """Return ln of each cost of every row: some are more than a float holds."""
    return [
        [math.log(max(1, getattr(row, cost) or 0)) for row in found] for cost in costs
    ]


def busy_seconds(seconds: Mapping[str, float]) -> float:
    """Add up the phases of an attempt, without preparation hidden by other training."""
    hidden = seconds.get("hidden", 0.0)
    return max(0.0, sum(seconds.values()) - 2 * hidden)


class Rescored(NamedTuple):
    """A block under another reward.

    Attributes:
      event: its evaluation, with that reward.
      before: its rank by the search's own reward, from 1.
    """

    event: Evaluated
    before: int


def rescored(problem: Problem, history: History, reward: Reward) -> list[Rescored]:
    """Rank the blocks of a search by another reward, without its agent.

    Args:
      problem: of the search.
      history: its journal.
      reward: to rank by.
    """
    before = ranking(list(evaluated(problem, history)))
    ranks = {event.candidate.hash: rank for rank, event in enumerate(before, 1)}
    now = ranking(list(evaluated(problem, history, reward)))
    return [Rescored(event, ranks[event.candidate.hash]) for event in now]


def _row(
    problem: Problem, event: Evaluated, attempts: int, times: Times
) -> EvaluationRow:
    candidate, evaluation, reward, _ = event
    network = problem.config.network
    reused = evaluation.status == "reused"
    return EvaluationRow(
        iteration=candidate.iteration,
        slot=candidate.slot,
        block=str(candidate.block),
        layers=len(candidate.block),
        hash=candidate.hash,
        status=str(evaluation.status),
        attempts=attempts,
        epochs=len(evaluation.accuracy),
        trainings=1 + len(evaluation.repeats),
        accuracy=last_accuracy(candidate, evaluation),
        reward=reward,
        flops=candidate.block_flops,
        network_flops=candidate.network_flops,
        params=candidate.network_params,
        repeats=fitted(candidate.block, network, problem.images).repeats,
        density=Density(candidate.edges, candidate.nodes).value,
        latency=candidate.latency,
        seconds=0.0 if reused else busy_seconds(evaluation.seconds),
        worker=evaluation.worker,
        finished=times.get((*candidate.id, attempts), 0.0),
        source=printable(evaluation.source),
        error=headline(evaluation) if evaluation.error else "",
    )

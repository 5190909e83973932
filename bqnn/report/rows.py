"""A search as rows, one per evaluation, ready for a table or `pandas.DataFrame`."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bqnn.networks.cost import Density
from bqnn.search.events import Evaluated
from bqnn.search.fold import evaluated
from bqnn.search.history import History
from bqnn.search.problem import Problem
from bqnn.search.reward import last_accuracy
from bqnn.search.summary import headline

Times = Mapping[tuple[int, int, int], float]


class EvaluationRow(NamedTuple):
    """The final evaluation of a candidate.

    Attributes:
      iteration, slot: the candidate's place.
      block: its NSC.
      layers: how many, the Terminal not included.
      hash: canonical, of the function that the block computes.
      status: how the evaluation ended.
      attempts: how often it was tried.
      accuracy: early-stop accuracy after the last epoch, None if there is none.
      reward: what the agent is, or will be, told.
      flops: of the block.
      params: of the whole network.
      density: edges over nodes of the block.
      seconds: that the last attempt kept its worker busy; 0 for a reused result.
      worker: which one.
      finished: when it was recorded, in seconds since 1970.
      error: first line of what went wrong, or nothing.
    """

    iteration: int
    slot: int
    block: str
    layers: int
    hash: str
    status: str
    attempts: int
    accuracy: float | None
    reward: float
    flops: int
    params: int
    density: float
    seconds: float
    worker: str
    finished: float
    error: str


def rows(search: Problem, history: History, times: Times) -> list[EvaluationRow]:
    """List every final evaluation, in the order asked.

    Args:
      search: the problem that the journal belongs to.
      history: what the journal holds.
      times: when each attempt was recorded, by iteration, slot and attempt.
    """
    return [
        _row(event, len(history.attempts[event.candidate.id]), times)
        for event in evaluated(search, history)
    ]


def front(found: Sequence[EvaluationRow], cost: str) -> list[int]:
    """Find the Pareto front of accuracy against a cost.

    Args:
      found: the rows.
      cost: the field to be small, `flops` or `params`.

    Returns:
      Places of the rows that no other beats, cheapest first: each is more accurate
      than all that cost as little. Of equals, the one asked first.
    """
    places = [i for i, row in enumerate(found) if row.accuracy is not None]

    def order(place: int) -> tuple[float, float]:
        return getattr(found[place], cost), -(found[place].accuracy or 0.0)

    best: list[int] = []
    highest = -1.0
    for place in sorted(places, key=order):
        accuracy = found[place].accuracy or 0.0
        if accuracy > highest:
            best.append(place)
            highest = accuracy
    return best


def busy_seconds(seconds: Mapping[str, float]) -> float:
    """Add up the phases of an attempt, without what another's training hid."""
    hidden = seconds.get("hidden", 0.0)
    return max(0.0, sum(seconds.values()) - 2 * hidden)


def _row(event: Evaluated, attempts: int, times: Times) -> EvaluationRow:
    candidate, evaluation, reward, _ = event
    reused = evaluation.status == "reused"
    return EvaluationRow(
        iteration=candidate.iteration,
        slot=candidate.slot,
        block=str(candidate.block),
        layers=len(candidate.block),
        hash=candidate.hash,
        status=str(evaluation.status),
        attempts=attempts,
        accuracy=last_accuracy(evaluation),
        reward=reward,
        flops=candidate.block_flops,
        params=candidate.network_params,
        density=Density(candidate.edges, candidate.nodes).value,
        seconds=0.0 if reused else busy_seconds(evaluation.seconds),
        worker=evaluation.worker,
        finished=times.get((*candidate.id, attempts), 0.0),
        error=headline(evaluation) if evaluation.error else "",
    )

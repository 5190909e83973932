"""Records: candidates and evaluations, for master, executors and journal."""

import contextlib
import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bqnn.space.nsc import Block


class Status(enum.StrEnum):
    """How an evaluation ended."""

    OK = "ok"
    DIVERGED = "diverged"
    STOPPED = "stopped"
    OVER_BUDGET = "over_budget"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    WORKER_LOST = "worker_lost"
    FAILED = "failed"
    REUSED = "reused"


MAX_ATTEMPTS = {Status.OUT_OF_MEMORY: 2, Status.WORKER_LOST: 4}
"""How often a candidate may end this way; once for any other status.

A worker lost for the last time makes the candidate `failed`.
"""


OBJECTIVE = "objective "
"""Begins the fingerprint of a search by an objective function, then its name."""

CandidateId = tuple[int, int]
"""Iteration and slot, both from 0."""


class Rung(NamedTuple):
    """What a candidate must reach for its training to go on (`bqnn.search.ladder`).

    Attributes:
      epoch: epochs trained by then.
      cutoff: the accuracy to reach, on the validation part.
      gain: what other candidates have gained from there to their last epoch, on
        average; what one that stops here is rewarded for (`bqnn.search.reward`).
    """

    epoch: int
    cutoff: float
    gain: float


MOST_DRAWS = 64
"""Draws of a batch until all of its blocks are within the budget."""


class Standing(NamedTuple):
    """What candidates of a batch must reach, the same for all of it.

    Attributes:
      rungs: as `Candidate.rungs`.
      repeat_from: as `Candidate.repeat_from`.
    """

    rungs: tuple[Rung, ...]
    repeat_from: float | None


@dataclass(frozen=True)
class Candidate:
    """A block to evaluate.

    Attributes:
      iteration: the batch that asked for it, from 0.
      slot: its index in the batch, from 0.
      block: the block.
      hash: its canonical hash.
      seed: from which its training draws everything random.
      block_flops: of the block, as the reward weighs them.
      edges, nodes: of the block's graph; their ratio is the density.
      network_params: of the whole network.
      network_flops: of the whole network, which predicts how long training takes.
      rungs: where its training may stop, in ascending order.
      epochs: of a training in full (`bqnn.search.rounds`), whose `hash` is then that of
        the canonical hash and them; `train.epochs` if None.
      repeat_from: the accuracy after the last epoch from which on it is trained again
        (`train.repeats`); it is not if None.
      latency: of the whole network for one image, in nanoseconds, as
        `budget.latency_table` foretells it; None without one.
      draw: the draw of its batch that gave it; those before it were over the budget.
    """

    iteration: int
    slot: int
    block: Block
    hash: str
    seed: int
    block_flops: int
    edges: int
    nodes: int
    network_params: int
    network_flops: int
    rungs: tuple[Rung, ...] = ()
    epochs: int | None = None
    repeat_from: float | None = None
    latency: int | None = None
    draw: int = 0

    @property
    def id(self) -> CandidateId:
        """Iteration and slot, which name the candidate."""
        return self.iteration, self.slot


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one attempt at a candidate.

    Attributes:
      status: how it ended.
      accuracy: on the validation part after each epoch, as fractions; complete if the
        status is `ok`, or `reused` of an `ok` one; up to a rung if it is `stopped`.
      restarts: how often training began again.
      seconds: wall time by phase: trace, compile, train, evaluate.
      device: what computed it: device kind, and on the CPU its model and threads.
      worker: which worker of the executor.
      error: what went wrong, one line first, then the traceback if there is one.
      source: for a reused result, the other search that found it; empty if it is of
        this search.
      repeats: accuracies after the last epoch of trainings by other seeds.
    """

    status: Status
    accuracy: tuple[float, ...] = ()
    restarts: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    device: str = ""
    worker: str = ""
    error: str = ""
    source: str = ""
    repeats: tuple[float, ...] = ()

    @property
    def final(self) -> float:
        """The last accuracy; where a candidate was trained again, the mean of all."""
        last = (self.accuracy[-1], *self.repeats)
        return math.fsum(last) / len(last)


def taught(evaluation: Evaluation) -> bool:
    """Tell whether a candidate's own accuracy teaches the agent."""
    statuses = Status.OK, Status.STOPPED, Status.REUSED
    return evaluation.status in statuses and bool(evaluation.accuracy)


def stopped_at(candidate: Candidate, evaluation: Evaluation) -> Rung | None:
    """Find the rung at which a training stopped; None if it did not stop at one."""
    ends = (rung for rung in candidate.rungs if rung.epoch == len(evaluation.accuracy))
    return next(ends, None) if taught(evaluation) else None


def missed(rungs: Sequence[Rung], accuracy: Sequence[float]) -> Rung | None:
    """Find the first rung that was not reached, of those that training has come to.

    Args:
      rungs: of the candidate.
      accuracy: after each epoch.
    """
    passed = (rung for rung in rungs if rung.epoch <= len(accuracy))
    return next((r for r in passed if accuracy[r.epoch - 1] < r.cutoff), None)


def repeated(candidate: Candidate, accuracy: Sequence[float]) -> bool:
    """Tell whether a candidate is trained again, by its first whole training.

    Args:
      candidate: the candidate.
      accuracy: after each epoch.
    """
    least = candidate.repeat_from
    return least is not None and bool(accuracy) and accuracy[-1] >= least


def is_settled(statuses: Sequence[Status]) -> bool:
    """Tell whether attempts that ended in `statuses`, in this order, are enough."""
    last = statuses[-1]
    return statuses.count(last) >= MAX_ATTEMPTS.get(last, 1)


def is_known(statuses: Sequence[Status]) -> bool:
    """Tell whether attempts that ended so say something of the block itself.

    A block that lost its last worker failed because of them: a twin is tried anew.
    """
    lost = Status.WORKER_LOST in statuses and statuses[-1] == Status.FAILED
    return is_settled(statuses) and not lost


def reuse(known: Evaluation) -> Evaluation:
    """Make the evaluation of a twin: it takes the accuracy, or the cause of none.

    A result of another search keeps its source, and the device that computed it.
    """
    if known.status == Status.REUSED:
        return known
    usable = known.status in (Status.OK, Status.STOPPED)
    return Evaluation(
        Status.REUSED,
        accuracy=known.accuracy if usable else (),
        restarts=known.restarts,
        device=known.device if known.source else "",
        error="" if usable else f"{known.status}: {known.error}",
        source=known.source,
        repeats=known.repeats,
    )


def outcome(evaluation: Evaluation) -> Status:
    """Return the status; where a cause was reused (`reuse`), that of the twin."""
    if evaluation.status == Status.REUSED and not evaluation.accuracy:
        with contextlib.suppress(ValueError):
            return Status(evaluation.error.partition(":")[0])
    return evaluation.status

"""Trials: a few candidates, each trained for some steps and timed."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from bqnn import numerics
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.data.batches import Batches, all_batches, epoch_batches
from bqnn.engines.progress import WarmUpProgress
from bqnn.engines.registry import engine_name
from bqnn.engines.warmup import warm_up
from bqnn.errors import SearchError
from bqnn.evaluation.evaluate import on_device, prepare
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.executors.executor import Executor, run_all
from bqnn.executors.guard import run_guarded
from bqnn.executors.worker_process import resident_memory

# Seconds that a candidate is timed for: some steps, or whole epochs.
_SECONDS = 0.5
# Steps where networks are compiled whole.
_WHOLE_STEPS = 3


class Trial(NamedTuple):
    """A candidate that was timed.

    Attributes:
      candidate: the candidate.
      preparation: seconds before its first step; where networks are compiled whole,
        most of it is that.
      epoch: seconds of an epoch, with its validation.
      memory: bytes that its worker held.
    """

    candidate: Candidate
    preparation: float
    epoch: float
    memory: int


def spread(candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """Choose candidates spread evenly over those given, from small to large.

    Args:
      candidates: to choose from; of equal blocks, one is enough.
      count: how many to choose; all if there are fewer.
    """
    distinct = {candidate.hash: candidate for candidate in candidates}.values()
    ranked = sorted(distinct, key=lambda c: (c.network_flops, c.hash))
    count = min(count, len(ranked))
    return [ranked[(2 * i + 1) * len(ranked) // (2 * count)] for i in range(count)]


def time_all(candidates: Sequence[Candidate], executor: Executor) -> Iterator[Trial]:
    """Time candidates, as many beside each other as there are workers.

    Args:
      candidates: within the budget.
      executor: of `TrialWorker`s, that was started.

    Raises:
      SearchError: if one cannot be trained.
    """
    for candidate, evaluation in run_all(candidates, executor):
        if evaluation.status != Status.OK:
            cause = evaluation.error.partition("\n")[0]
            raise SearchError(f"{candidate.block} cannot be trained: {cause}")
        found = evaluation.seconds
        preparation, epoch = found["preparation"], found["epoch"]
        yield Trial(candidate, preparation, epoch, int(found["memory"]))


class TrialWorker:
    """A worker that times candidates (`bqnn.executors.executor.CandidateWorker`).

    What it finds, in seconds and bytes, is in the `seconds` of its evaluations.
    """

    pipelined = False

    def __init__(self, config: Config, dataset: Dataset) -> None:
        """Put the data on the device."""
        self._config, self._dataset = config, on_device(dataset)

    def warm_up(self) -> Iterator[WarmUpProgress]:
        """Compile the programs of the search space."""
        return warm_up(self._config, self._dataset)

    def run(
        self,
        candidate: Candidate,
        following: Candidate | None = None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> Evaluation:
        """Time a candidate that is within the budget."""
        return run_guarded(candidate, self._config, interrupted, self._time)

    @numerics.pinned()
    def _time(
        self, candidate: Candidate, config: Config, on_step: Callable[[], None]
    ) -> Evaluation:
        walked = engine_name(config.train, config.network) == "walk"
        if walked:  # a worker loads the programs of units once for all its candidates
            prepare(candidate, config, self._dataset)
        prepared = prepare(candidate, config, self._dataset)
        assert not isinstance(prepared, Evaluation)
        engine, state = prepared
        total = len(self._dataset.train.labels)
        batch = min(config.train.batch, total)
        steps = epoch_batches(total, batch, candidate.seed, epoch=0)
        checks = all_batches(len(self._dataset.validation.labels), batch)
        rate, clock = config.train.learning_rate, engine.clock.seconds

        def advance(state: Any, few: int) -> Any:
            state, _ = engine.train(state, _first(steps, few), rate, on_step)
            engine.count_correct(state, _first(checks, few))
            return state

        # A scanned program takes one number of steps.
        few, rounds = (1 if walked else _WHOLE_STEPS), 0
        state = advance(state, few)
        before = clock.copy()
        if walked:
            few = max(2, min(len(steps.indices), int(_SECONDS / before["train"])))
        while rounds == 0 or clock["train"] - before["train"] < _SECONDS:
            state, rounds = advance(state, few), rounds + 1
        epoch = 0.0
        for phase, batches in (("train", steps), ("evaluate", checks)):
            share = min(1.0, few / len(batches.indices))
            epoch += (clock[phase] - before.pop(phase)) / (rounds * share)
        found = {"preparation": sum(before.values()), "epoch": epoch}
        found["memory"] = float(resident_memory())
        return Evaluation(Status.OK, seconds=found)


def _first(batches: Batches, count: int) -> Batches:
    """Take the first batches; all if there are fewer."""
    return Batches(batches.indices[:count], batches.mask[:count])

"""Trials: a few candidates, each trained for some steps and timed."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from bqnn import numerics
from bqnn.config import Config
from bqnn.data.batches import Batches, all_batches, epoch_batches
from bqnn.engines.registry import engine_name
from bqnn.errors import SearchError
from bqnn.evaluation.evaluate import Prepared, prepare
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.executors.executor import Attempt, Executor, run_all
from bqnn.executors.worker import Worker
from bqnn.executors.worker_process import resident_memory

# Seconds that a candidate is timed for: some steps, or whole epochs.
_SECONDS = 0.5
# Steps to begin with, where networks are compiled whole and where they are walked.
_STEPS = 3, 1


def spread(candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """Choose candidates spread evenly over those given, the smallest to the largest.

    Args:
      candidates: to choose from; of equal blocks, one is enough.
      count: how many to choose, at least two; all if there are fewer.
    """
    distinct = {candidate.hash: candidate for candidate in candidates}.values()
    ranked = sorted(distinct, key=lambda c: (c.network_flops, c.hash))
    if len(ranked) <= count:
        return ranked
    return [ranked[i * (len(ranked) - 1) // (count - 1)] for i in range(count)]


def time_all(candidates: Sequence[Candidate], executor: Executor) -> Iterator[Attempt]:
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
        yield candidate, evaluation


class TrialWorker(Worker):
    """A worker that times candidates, for some steps each.

    Its evaluations have these `seconds`: of the "preparation", before the first step,
    which is most of it where networks are compiled whole; and of an "epoch" with its
    validation. And the bytes of "memory" that the worker held.
    """

    @property
    def pipelined(self) -> bool:
        """Whether it prepares the candidate that follows."""
        return False

    @numerics.pinned()
    def evaluate(
        self,
        candidate: Candidate,
        config: Config,
        on_step: Callable[[], None],
        ready: "Future[Prepared | Evaluation] | None" = None,
    ) -> Evaluation:
        """Time a candidate that is within the budget."""
        data, total = self._dataset, len(self._dataset.train.labels)
        name = engine_name(config.train, config.network, total)
        walked = name == "walk"
        if walked:  # a worker loads the programs of units once for all its candidates
            prepare(candidate, config, data)
        prepared = prepare(candidate, config, data)
        assert isinstance(prepared, Prepared)
        engine, state = prepared
        clock = engine.clock.seconds
        batch = min(config.train.batch, total)
        steps = epoch_batches(total, batch, candidate.seed, epoch=0)
        checks = all_batches(len(data.validation.labels), batch)

        def advance(state: Any, few: int) -> Any:
            rate = config.train.learning_rate
            state, _ = engine.train(state, _first(steps, few), rate, on_step)
            engine.count_correct(state, _first(checks, few))
            return state

        # A scanned program takes all steps of an epoch.
        few = len(steps.indices) if name == "scan" else _STEPS[walked]
        rounds = 0
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

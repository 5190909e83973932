"""Worker: trains candidates, in any process."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from bqnn import runtime
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.engines.progress import WarmUpProgress
from bqnn.engines.warmup import warm_up
from bqnn.evaluation.evaluate import (
    Prepared,
    on_device,
    prepare,
    train_prepared,
)
from bqnn.evaluation.recipe import config_for
from bqnn.evaluation.records import Candidate, CandidateId, Evaluation
from bqnn.executors.guard import run_guarded


class Worker:
    """Evaluates candidates that learn from one data set, one at a time.

    While a candidate trains on an accelerator, the host is idle: there threads prepare
    the next candidates meanwhile, and compile them where they are compiled whole. How
    many is up to the executor, which knows the machine. On the CPU nothing is prepared
    ahead: a worker owns only its threads.
    """

    def __init__(self, config: Config, dataset: Dataset) -> None:
        """Put the data on the device."""
        self._config, self._dataset = config, on_device(dataset)
        self._threads = ThreadPoolExecutor(thread_name_prefix="prepare")
        self._ahead: dict[CandidateId, Future[Prepared | Evaluation]] = {}

    @property
    def pipelined(self) -> bool:
        """Whether the worker prepares the candidates that follow."""
        return runtime.accelerated()

    def warm_up(self) -> Iterator[WarmUpProgress]:
        """Compile the programs of the search space."""
        return warm_up(self._config, self._dataset)

    def run(
        self,
        candidate: Candidate,
        following: Sequence[Candidate] = (),
        interrupted: Callable[[], bool] = lambda: False,
    ) -> Evaluation:
        """Evaluate a candidate, as `CandidateWorker` says."""
        ready = self._ahead.pop(candidate.id, None)
        self._look_ahead(following)
        run = functools.partial(self.evaluate, ready=ready)
        config = config_for(candidate, self._config)
        return run_guarded(candidate, config, interrupted, run)

    def evaluate(
        self,
        candidate: Candidate,
        config: Config,
        on_step: Callable[[], None],
        ready: "Future[Prepared | Evaluation] | None",
    ) -> Evaluation:
        """Train a candidate; `ready` is its preparation if that was begun before."""
        if ready is None:
            prepared, hidden = self._prepare(candidate), 0.0
        else:
            start = time.perf_counter()
            prepared = ready.result()
            waited = time.perf_counter() - start
            hidden = max(0.0, _preparation_seconds(prepared) - waited)
        if isinstance(prepared, Evaluation):
            return prepared
        evaluation = train_prepared(prepared, candidate, config, self._dataset, on_step)
        if not hidden:
            return evaluation
        # How long preparation took while another candidate trained.
        seconds = {**evaluation.seconds, "hidden": hidden}
        return dataclasses.replace(evaluation, seconds=seconds)

    def _look_ahead(self, following: Sequence[Candidate]) -> None:
        """Prepare these candidates and no others, the first first."""
        before, self._ahead = self._ahead, {}
        for candidate in following:
            future = before.pop(candidate.id) if candidate.id in before else None
            self._ahead[candidate.id] = future or self._threads.submit(
                self._prepare, candidate
            )
        for dropped in before.values():
            dropped.cancel()

    def _prepare(self, candidate: Candidate) -> Prepared | Evaluation:
        config = config_for(candidate, self._config)
        return prepare(candidate, config, self._dataset)


def _preparation_seconds(prepared: Prepared | Evaluation) -> float:
    return prepared.seconds if isinstance(prepared, Prepared) else 0.0

"""Worker: trains candidates, in any process."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import jax

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
from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.executors.guard import run_guarded


class Worker:
    """Evaluates candidates that learn from one data set, one at a time.

    While a candidate trains on an accelerator, the host is idle: there a thread
    prepares the next candidate meanwhile. On the CPU nothing is prepared ahead: a
    worker owns only its threads.
    """

    def __init__(self, config: Config, dataset: Dataset) -> None:
        """Put the data on the device."""
        self._config, self._dataset = config, on_device(dataset)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._next: tuple[Candidate, Future[Prepared | Evaluation]] | None = None

    @property
    def pipelined(self) -> bool:
        """Whether the worker prepares the candidate that follows."""
        return bool(jax.default_backend() != "cpu")

    def warm_up(self) -> Iterator[WarmUpProgress]:
        """Compile the programs of the search space."""
        return warm_up(self._config, self._dataset)

    def run(
        self,
        candidate: Candidate,
        following: Candidate | None = None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> Evaluation:
        """Evaluate a candidate, as `CandidateWorker` says."""
        ready = self._take(candidate)
        if following is not None:
            self._next = following, self._thread.submit(self._prepare, following)
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

    def _take(self, candidate: Candidate) -> "Future[Prepared | Evaluation] | None":
        """Take what was prepared, if it is the candidate; it is dropped if not."""
        foreseen, self._next = self._next, None
        if foreseen is None or foreseen[0].id != candidate.id:
            return None
        return foreseen[1]

    def _prepare(self, candidate: Candidate) -> Prepared | Evaluation:
        config = config_for(candidate, self._config)
        return prepare(candidate, config, self._dataset)


def _preparation_seconds(prepared: Prepared | Evaluation) -> float:
    return prepared.seconds if isinstance(prepared, Prepared) else 0.0

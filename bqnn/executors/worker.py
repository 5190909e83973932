"""Worker: evaluates candidates, in whatever process; what goes wrong is a status."""

import dataclasses
import functools
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import jax

from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.engines.warmup import WarmUpProgress, warm_up
from bqnn.errors import BqnnError
from bqnn.evaluation.evaluate import (
    Prepared,
    evaluate,
    on_device,
    prepare,
    train_prepared,
)
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.executors import awake

Evaluate = Callable[[Candidate, Config, Callable[[], None]], Evaluation]
"""(candidate, configuration, called before every training step) -> evaluation."""


class CandidateWorker(Protocol):
    """The interface of a worker to executors.

    Attributes:
      pipelined: whether it prepares the candidate that follows.
    """

    @property
    def pipelined(self) -> bool: ...  # noqa: D102

    def warm_up(self) -> Iterator[WarmUpProgress]:
        """Compile, once, what all candidates need; yields how far it is."""

    def run(
        self,
        candidate: Candidate,
        following: Candidate | None = None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> Evaluation:
        """Evaluate a candidate; whatever goes wrong is a status.

        Args:
          candidate: what to evaluate.
          following: what will be evaluated next, if that is known.
          interrupted: tells, before every training step, whether to stop.

        Raises:
          BqnnError: as `run_guarded` lets it through.
          KeyboardInterrupt: if interrupted.
        """


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
        return run_guarded(candidate, self._config, interrupted, run)

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
        return prepare(candidate, self._config, self._dataset)


MakeWorker = Callable[[Config, Dataset], CandidateWorker]
"""(configuration of the search, data) -> worker."""


class Ready(NamedTuple):
    """A worker has started, and takes candidates.

    Attributes:
      pipelined: whether it prepares the candidate that follows.
      host: of a cluster's node; empty on this machine.
    """

    pipelined: bool
    host: str = ""


class _OutOfTimeError(Exception):
    """The time for one candidate is over."""


def run_guarded(
    candidate: Candidate,
    config: Config,
    interrupted: Callable[[], bool],
    run: Evaluate = evaluate,
) -> Evaluation:
    """Evaluate, and turn whatever goes wrong into an evaluation's status.

    Args:
      candidate: what to evaluate.
      config: of the search.
      interrupted: tells, before every training step, whether to stop.
      run: evaluates.

    Raises:
      BqnnError: as `run` raises it: it would meet every candidate.
      KeyboardInterrupt: if interrupted.
    """
    start = awake.seconds()

    def on_step() -> None:
        if interrupted():
            raise KeyboardInterrupt
        if awake.seconds() - start > config.budget.timeout:
            raise _OutOfTimeError

    try:
        return run(candidate, config, on_step)
    except BqnnError:
        raise
    except _OutOfTimeError:
        return timed_out(config)
    except Exception as error:
        return failure(error)


def timed_out(config: Config) -> Evaluation:
    """Make the evaluation of a candidate that took too long."""
    limit = f"budget.timeout of {config.budget.timeout:g} s"
    return Evaluation(Status.TIMED_OUT, error=f"longer than the {limit}")


def failure(error: BaseException) -> Evaluation:
    """Make the evaluation of a candidate that raised `error`."""
    status = Status.OUT_OF_MEMORY if _out_of_memory(error) else Status.FAILED
    lines = str(error).strip().splitlines() or [""]
    trace = "".join(traceback.format_exception(error))
    return Evaluation(status, error=f"{type(error).__name__}: {lines[0]}\n{trace}")


def _out_of_memory(error: BaseException) -> bool:
    # XLA has one run-time error; exhausted memory is a word in its text.
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or "RESOURCE_EXHAUSTED" in text
        or "std::bad_alloc" in text
    )


def _preparation_seconds(prepared: Prepared | Evaluation) -> float:
    return prepared.seconds if isinstance(prepared, Prepared) else 0.0

"""The protocol of executors, and the guard that all of them run evaluations in."""

import time
import traceback
from collections.abc import Callable
from typing import Protocol

from bqnn.config import Config
from bqnn.errors import BqnnError
from bqnn.evaluate import evaluate
from bqnn.records import Candidate, Evaluation, Status


class Executor(Protocol):
    """Takes candidates, gives evaluations, in whatever order they end.

    Whoever implements it starts the largest `network_flops` first, gives evaluations
    `config.train.threads` CPU threads, and lets a `BqnnError` through: that one would
    meet every candidate.
    """

    def submit(self, candidate: Candidate) -> None:
        """Queue a candidate; returns at once."""

    def collect(self) -> tuple[Candidate, Evaluation]:
        """Wait for the next attempt to end, and return it.

        Raises:
          LookupError: if no candidate was submitted that was not collected.
        """

    def close(self) -> None:
        """Stop all workers and forget what is queued."""


class _OutOfTimeError(Exception):
    """The time for one candidate is over."""


def run_guarded(
    candidate: Candidate, config: Config, interrupted: Callable[[], bool]
) -> Evaluation:
    """Evaluate, and turn whatever goes wrong into an evaluation's status.

    Args:
      candidate: what to evaluate.
      config: of the search.
      interrupted: tells, before every training step, whether to stop.

    Raises:
      BqnnError: as `evaluate` raises it.
      KeyboardInterrupt: if interrupted.
    """
    start = time.monotonic()

    def on_step() -> None:
        if interrupted():
            raise KeyboardInterrupt
        if time.monotonic() - start > config.budget.timeout:
            raise _OutOfTimeError

    try:
        return evaluate(candidate, config, on_step)
    except BqnnError:
        raise
    except _OutOfTimeError:
        limit = f"budget.timeout of {config.budget.timeout:g} s"
        return Evaluation(Status.TIMED_OUT, error=f"longer than the {limit}")
    except Exception as error:
        status = Status.OUT_OF_MEMORY if _out_of_memory(error) else Status.FAILED
        lines = str(error).strip().splitlines() or [""]
        headline = f"{type(error).__name__}: {lines[0]}"
        return Evaluation(status, error=f"{headline}\n{traceback.format_exc()}")


def _out_of_memory(error: Exception) -> bool:
    # XLA reports memory that ran out as one kind of its only run-time error.
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)

"""Guard of an evaluation: time-outs and errors of a candidate become its status."""

import traceback
from collections.abc import Callable

from bqnn.config import Config
from bqnn.errors import BqnnError
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.executors import awake

Evaluate = Callable[[Candidate, Config, Callable[[], None]], Evaluation]
"""(candidate, configuration, called before every training step) -> evaluation."""


class _OutOfTimeError(Exception):
    """The time for one candidate is over."""


def run_guarded(
    candidate: Candidate,
    config: Config,
    interrupted: Callable[[], bool],
    run: Evaluate,
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

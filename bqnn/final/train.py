"""Train: a block to convergence in a work directory, then on the test split."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from bqnn import numerics
from bqnn.errors import BqnnError
from bqnn.final import workdir as workdir_lib
from bqnn.final.checkpoint import Checkpoints
from bqnn.final.config import FinalConfig
from bqnn.final.job import Job, make_setup, open_job
from bqnn.final.loop import EpochEnded, Event, Training
from bqnn.space.nsc import Block

OnEvent = Callable[[Event], None]


class OutOfMemoryError(BqnnError):
    """The training does not fit in the memory of the devices."""


class ProcessLostError(BqnnError):
    """Another process of this training has ended."""


@numerics.pinned()
def train_block(
    block: Block,
    config: FinalConfig,
    workdir: Path,
    interrupted: Callable[[], bool] = lambda: False,
    on_event: OnEvent = lambda event: None,
    *,
    test: bool = True,
) -> dict[str, Any]:
    """Train a block to convergence, or resume its training.

    Args:
      block: the block to train.
      config: configuration of the training; that of `workdir` if it has one already.
      workdir: directory of the training's files.
      interrupted: returns whether to stop; called before every step.
      on_event: called with every event.
      test: whether to evaluate on the test split in the end.

    Returns:
      The result: `epochs`, `seconds`, `history` (one row for each epoch), and `test`
      (loss and accuracy on the test split, or None).

    Raises:
      KeyboardInterrupt: if interrupted, after the state is saved.
      BqnnError: if the training fails; its one line says what to do.
    """
    lock = workdir_lib.lock(workdir)
    try:
        job = open_job(block, config)
        if jax.process_index() == 0:
            workdir_lib.start(workdir, job.run)
        if result := workdir_lib.read_result(workdir):
            return result
        return _train(job, workdir, interrupted, on_event, test)
    except jax.errors.JaxRuntimeError as error:
        if known := _known(error, config):
            raise known from error
        raise
    finally:
        os.close(lock)


def _known(error: jax.errors.JaxRuntimeError, config: FinalConfig) -> BqnnError | None:
    """Return the error to raise instead if the user can do something about `error`."""
    if "RESOURCE_EXHAUSTED" in str(error):
        return OutOfMemoryError(
            f"the device has too little memory for train.batch={config.train.batch}: "
            "try train.accumulate=2 or more, train.remat=True, or more devices"
        )
    if jax.process_count() > 1:
        cause = str(error).splitlines()[0][:200]
        return ProcessLostError(
            f"this process has lost the others ({cause}): see what they say, and run "
            "all of them again to go on"
        )
    return None


def _train(
    job: Job,
    workdir: Path,
    interrupted: Callable[[], bool],
    on_event: OnEvent,
    test: bool,
) -> dict[str, Any]:
    checkpoints = Checkpoints(workdir)
    try:
        setup = make_setup(job.run, job.feed.steps, job.feed.read)
        training = Training(setup, job.feed, checkpoints)
        for event in _logged(training, workdir, interrupted):
            on_event(event)
        rows = training.history
        result = {
            "epochs": len(rows),
            "seconds": sum(row["seconds"] for row in rows),
            "history": rows,
            "test": training.evaluate(job.test()) if test else None,
        }
    finally:
        checkpoints.close()
    if jax.process_index() == 0:
        workdir_lib.write_json(workdir / workdir_lib.RESULT, result)
    return result


def _logged(
    training: Training, workdir: Path, interrupted: Callable[[], bool]
) -> Iterator[Event]:
    """Train; in process 0, also log the row of every epoch as it ends."""
    if jax.process_index() > 0:
        yield from training.run(interrupted)
        return
    log = workdir_lib.MetricsLog(workdir, training.history)
    try:
        for event in training.run(interrupted):
            if isinstance(event, EpochEnded) and not event.recorded:
                log.add(event.row)
            yield event
    finally:
        log.close()

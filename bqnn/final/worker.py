"""Trains candidates in full, in whatever process an executor runs it."""

import functools
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from bqnn import runtime
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.evaluation.evaluate import Prepared
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.executors.worker import MakeWorker, Worker
from bqnn.final.config import FinalConfig
from bqnn.final.loop import DivergedError
from bqnn.final.train import OutOfMemoryError, train_block
from bqnn.final.workdir import WorkdirError


class FinalWorker(Worker):
    """Trains in a work directory by rank, where a training that broke off goes on."""

    def __init__(
        self, final: FinalConfig, workdir: Path, config: Config, dataset: Dataset
    ) -> None:
        """Take how to train and where."""
        super().__init__(config, dataset)
        self._final, self._workdir = final, workdir

    @property
    def pipelined(self) -> bool:
        """Whether the worker wants to know what follows: it has nothing to prepare."""
        return False

    def evaluate(
        self,
        candidate: Candidate,
        config: Config,
        on_step: Callable[[], None],
        ready: "Future[Prepared | Evaluation] | None",
    ) -> Evaluation:
        """Train a candidate in full."""
        folder = rank_folder(self._workdir, candidate.slot + 1)
        try:
            # Blocks are chosen by validation: the test split waits for the one chosen.
            result = train_block(
                candidate.block,
                self._final,
                folder,
                on_event=lambda event: on_step(),
                test=False,
            )
        except DivergedError as error:  # the others may do well
            return Evaluation(Status.DIVERGED, error=str(error))
        except OutOfMemoryError as error:
            return Evaluation(Status.OUT_OF_MEMORY, error=str(error))
        history = result["history"]
        if not all("validation_accuracy" in row for row in history):
            raise WorkdirError(f"{folder}: its result has no validation accuracy")
        return Evaluation(
            Status.OK,
            accuracy=tuple(row["validation_accuracy"] for row in history),
            seconds={"train": result["seconds"]},
            device=runtime.device(),
        )


def final_workers(final: FinalConfig, workdir: Path) -> MakeWorker:
    """Make workers that train in full below `workdir`, wherever they are started."""
    return functools.partial(FinalWorker, final, workdir.absolute())


def rank_folder(workdir: Path, rank: int) -> Path:
    """Name the work directory of the block of a rank."""
    return workdir / f"rank{rank:03}"

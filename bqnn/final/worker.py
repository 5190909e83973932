"""Final worker: trains candidates in full, in any process of an executor."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from bqnn import runtime
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.engines.warmup import WarmUpProgress
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.executors.worker import MakeWorker, run_guarded
from bqnn.final.config import FinalConfig
from bqnn.final.loop import DivergedError
from bqnn.final.train import OutOfMemoryError, train_block
from bqnn.final.workdir import WorkdirError


class FinalWorker:
    """Trains in a work directory by rank, where a training that broke off goes on."""

    pipelined = False

    def __init__(
        self, final: FinalConfig, workdir: Path, config: Config, dataset: Dataset
    ) -> None:
        """Take the recipe and the directory; each training loads its own data."""
        del dataset
        self._final, self._workdir, self._config = final, workdir, config

    def warm_up(self) -> Iterator[WarmUpProgress]:
        """Compile nothing: every network is compiled whole."""
        return iter(())

    def run(
        self,
        candidate: Candidate,
        following: Candidate | None = None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> Evaluation:
        """Train a candidate in full, as `CandidateWorker` says."""
        return run_guarded(candidate, self._config, interrupted, self._train)

    def _train(
        self, candidate: Candidate, config: Config, on_step: Callable[[], None]
    ) -> Evaluation:
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

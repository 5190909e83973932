"""Final worker: trains candidates in full, in any process of an executor."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from bqnn import runtime
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.engines.progress import WarmUpProgress
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.executors.executor import MakeWorker
from bqnn.executors.guard import run_guarded
from bqnn.final.config import FinalConfig
from bqnn.final.loop import DivergedError
from bqnn.final.train import OutOfMemoryError, train_block
from bqnn.final.workdir import WorkdirError


class FinalWorker:
    """Trains each candidate in a folder named by its rank; resumes what was stopped."""

    pipelined = False

    def __init__(
        self, final: FinalConfig, workdir: Path, config: Config, dataset: Dataset
    ) -> None:
        """Keep recipe and directory. Each training loads its own data."""
        del dataset
        self._final, self._workdir, self._config = final, workdir, config

    def warm_up(self) -> Iterator[WarmUpProgress]:
        """Compile nothing: every network is compiled as a whole when it is trained."""
        return iter(())

    def run(
        self,
        candidate: Candidate,
        following: Candidate | None = None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> Evaluation:
        """Train a candidate in full, and report as `CandidateWorker` does."""
        return run_guarded(candidate, self._config, interrupted, self._train)

    def _train(
        self, candidate: Candidate, config: Config, on_step: Callable[[], None]
    ) -> Evaluation:
        folder = rank_folder(self._workdir, candidate.slot + 1)
        try:
            # Blocks are chosen by validation accuracy. The test split is only for the
            # block that is chosen.
            result = train_block(
                candidate.block,
                self._final,
                folder,
                on_event=lambda event: on_step(),
                test=False,
            )
        except DivergedError as error:  # other blocks may not
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
    """Return a function that makes workers; they train in folders of `workdir`."""
    # Absolute: a worker's process may have another current directory.
    return functools.partial(FinalWorker, final, workdir.absolute())


def rank_folder(workdir: Path, rank: int) -> Path:
    """Return the work directory of the block with this rank."""
    return workdir / f"rank{rank:03}"

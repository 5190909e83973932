"""Final worker: trains candidates in full, in any process of an executor."""

import functools
from collections.abc import Callable, Iterator, Sequence

from bqnn import runtime
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.engines.progress import WarmUpProgress
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.executors.executor import MakeWorker
from bqnn.executors.guard import run_guarded
from bqnn.final.loop import DivergedError
from bqnn.final.task import Tasks
from bqnn.final.train import OutOfMemoryError, train_block
from bqnn.final.workdir import WorkdirError


class FinalWorker:
    """Trains each candidate as its task says; resumes what was stopped."""

    pipelined = False

    def __init__(self, tasks: Tasks, config: Config, dataset: Dataset) -> None:
        """Keep the tasks. Each training loads its own data."""
        del dataset
        self._tasks, self._config = tasks, config

    def warm_up(self) -> Iterator[WarmUpProgress]:
        """Compile nothing: every network is compiled as a whole when it is trained."""
        return iter(())

    def run(
        self,
        candidate: Candidate,
        following: Sequence[Candidate] = (),
        interrupted: Callable[[], bool] = lambda: False,
    ) -> Evaluation:
        """Train a candidate in full, and report as `CandidateWorker` does."""
        return run_guarded(candidate, self._config, interrupted, self._train)

    def _train(
        self, candidate: Candidate, config: Config, on_step: Callable[[], None]
    ) -> Evaluation:
        folder, final, test = self._tasks[candidate.id]
        try:
            result = train_block(
                candidate.block,
                final,
                folder,
                on_event=lambda event: on_step(),
                test=test,
            )
        except DivergedError as error:  # other blocks may not
            return Evaluation(Status.DIVERGED, error=str(error))
        except OutOfMemoryError as error:
            return Evaluation(Status.OUT_OF_MEMORY, error=str(error))
        history = result["history"]
        if final.data.validation and not all(_NAME in row for row in history):
            raise WorkdirError(f"{folder}: its result has no validation accuracy")
        return Evaluation(
            Status.OK,
            accuracy=tuple(row[_NAME] for row in history if _NAME in row),
            seconds={"train": result["seconds"]},
            device=runtime.device(),
        )


_NAME = "validation_accuracy"  # in a row of metrics


def final_workers(tasks: Tasks) -> MakeWorker:
    """Return a function that makes workers; they do these tasks."""
    # Absolute: a worker's process may have another current directory.
    absolute = {
        key: task._replace(folder=task.folder.absolute()) for key, task in tasks.items()
    }
    return functools.partial(FinalWorker, absolute)

"""Winner: the block that is chosen, trained on all training images and tested once."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bqnn.errors import SearchError
from bqnn.evaluation.records import Candidate, Status
from bqnn.executors.executor import Executor, run_all
from bqnn.final.config import FinalConfig
from bqnn.final.task import Task, Tasks
from bqnn.final.workdir import WorkdirError, read_result
from bqnn.search.summary import headline

_ROUND = 1  # the choice is among the candidates of iteration 0


def winner_folder(workdir: Path) -> Path:
    """Return the work directory of the winner's training."""
    return workdir / "winner"


def winner_tasks(workdir: Path, configs: Sequence[FinalConfig]) -> Tasks:
    """Make the task of the winner, whichever it will be.

    Args:
      workdir: of the choice.
      configs: of every block among which it is chosen.
    """
    return {
        (_ROUND, number): Task(winner_folder(workdir), _whole(config), test=True)
        for number, config in enumerate(configs)
    }


def retrain(
    number: int, candidate: Candidate, executor: Executor, workdir: Path
) -> dict[str, Any]:
    """Train the winner on all training images, and read the test split once.

    Args:
      number: of the winner, as `winner_tasks` counts.
      candidate: the winner.
      executor: a started executor whose workers have the tasks of `winner_tasks`.
      workdir: of the choice.

    Returns:
      The result, as `bqnn.final.train.train_block` returns it.

    Raises:
      SearchError: if its training fails.
    """
    again = dataclasses.replace(candidate, iteration=_ROUND, slot=number)
    ((_, evaluation),) = run_all([again], executor)
    folder = winner_folder(workdir)
    if evaluation.status != Status.OK:
        raise SearchError(f"{folder}: {evaluation.status}: {headline(evaluation)}")
    result = read_result(folder)
    if result is None or result["test"] is None:
        raise WorkdirError(f"{folder}: its result is not of the test split")
    return result


def _whole(config: FinalConfig) -> FinalConfig:
    """Hold nothing out."""
    data = dataclasses.replace(config.data, validation=0.0)
    return dataclasses.replace(config, data=data)

"""Work directory of a full training: what is trained, its metrics, its result.

`run.json`: block, configuration, images, classes, normalisation. `checkpoints/`: of
Orbax. `metrics.jsonl`, `tensorboard/`: a row an epoch. `result.json`: the end.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bqnn import files, runtime
from bqnn.config import dictionary
from bqnn.errors import BqnnError
from bqnn.final import file_schemas
from bqnn.final.checkpoint import FOLDER, Checkpoints
from bqnn.final.config import FinalConfig
from bqnn.final.job import TrainingRun, abstract_state
from bqnn.final.model import Model
from bqnn.schema import FactError, fields, integer

RUN, RESULT, METRICS = "run.json", "result.json", "metrics.jsonl"
_NOT_SCALARS = ("epoch", "step")


class WorkdirError(BqnnError):
    """A work directory that is missing, damaged, or of another training."""


def start(workdir: Path, run: TrainingRun) -> None:
    """Record what is trained, or check that it is what was recorded.

    Raises:
      WorkdirError: if another training is recorded, or nothing can be written.
    """
    if (workdir / RUN).exists():
        _check_same(workdir, read_run(workdir), run)
        return
    values = {
        "format": 1,
        "block": str(run.block),
        "config": dictionary.to_dict(run.config),
        "images": list(run.images),
        "class_names": list(run.class_names),
        "mean": run.mean.tolist(),
        "std": run.std.tolist(),
        "versions": runtime.versions(),
        "device": runtime.device(),
    }
    write_json(workdir / RUN, values)


def read_run(workdir: Path) -> TrainingRun:
    """Read what is trained.

    Raises:
      WorkdirError: if it cannot be read.
    """
    try:
        found = _RUN(files.read_json(workdir / RUN))
        run = TrainingRun(**{name: found[name] for name in TrainingRun._fields})
        file_schemas.check_model(run.model({}))
        return run
    except FileNotFoundError:
        raise WorkdirError(
            f"{workdir}: there is no training; make one with `python -m launch.train "
            f"--workdir={workdir} ...`"
        ) from None
    except (OSError, ValueError, FactError) as error:
        raise WorkdirError(f"{workdir / RUN}: damaged ({error})") from error


_RUN = fields(
    {
        "format": integer(1, 1),
        "block": file_schemas.block,
        "config": lambda value: dictionary.from_dict(value, FinalConfig),
        "images": file_schemas.image_spec,
        "class_names": file_schemas.CLASS_NAMES,
        "mean": file_schemas.MEAN,
        "std": file_schemas.STD,
    }
)


def read_result(workdir: Path) -> dict[str, Any] | None:
    """Read what came of a finished training; None if it is not finished.

    Raises:
      WorkdirError: if it cannot be read.
    """
    try:
        found: dict[str, Any] = file_schemas.RESULT(files.read_json(workdir / RESULT))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, FactError) as error:
        raise WorkdirError(f"{workdir / RESULT}: damaged ({error})") from error
    return found


def lock(workdir: Path) -> int:
    """Take the lock on a work directory, one for each process that trains together.

    Returns:
      A file descriptor: closing it frees the lock.

    Raises:
      WorkdirError: if it cannot be had.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        return files.take_lock(workdir / f"process{jax.process_index()}.lock")
    except OSError as error:
        raise WorkdirError(f"{workdir}: {error.strerror}") from error


class MetricsLog:
    """The rows of a training by epoch: `metrics.jsonl` and TensorBoard's files."""

    def __init__(self, workdir: Path, done: list[dict[str, Any]]) -> None:
        """Begin with the rows of the checkpoint.

        Rows that a killed run wrote after its checkpoint are removed.
        """
        from tensorboardX import SummaryWriter  # slow: it imports what it finds

        self._path, self._rows = workdir / METRICS, list(done)
        self._write()
        following = done[-1]["step"] + 1 if done else 0
        self._events = SummaryWriter(str(workdir / "tensorboard"), purge_step=following)

    def add(self, row: dict[str, Any]) -> None:
        """Add the row of an epoch.

        Raises:
          WorkdirError: if it cannot be written.
        """
        self._rows.append(row)
        self._write()
        for name, value in row.items():
            if name not in _NOT_SCALARS:
                self._events.add_scalar(name, value, row["step"])
        self._events.flush()

    def close(self) -> None:
        """Close the files."""
        self._events.close()

    def _write(self) -> None:
        text = "".join(json.dumps(row) + "\n" for row in self._rows)
        try:
            files.write_atomic(self._path, text, durable=False)
        except OSError as error:
            raise WorkdirError(f"{self._path}: {error.strerror}") from error


def load_model(workdir: Path, checkpoint: str = "last") -> Model:
    """Load a trained network.

    Args:
      workdir: of its training, finished or not.
      checkpoint: `last`, or `best` by validation accuracy.

    Raises:
      WorkdirError: if there is no training, or no checkpoint yet.
      CheckpointError: if the checkpoint cannot be read, or is of another network.
    """
    run = read_run(workdir)
    if checkpoint == "best" and not run.config.data.validation:
        raise WorkdirError(
            f"{workdir}: it had no validation part, so no checkpoint is the best: want "
            "the last"
        )
    if not (workdir / FOLDER).is_dir():
        raise WorkdirError(f"{workdir}: there is no checkpoint yet")
    checkpoints = Checkpoints(workdir, read_only=True)
    saved = checkpoints.restore(abstract_state(run), checkpoint)
    checkpoints.close()
    if saved is None:
        raise WorkdirError(f"{workdir}: there is no checkpoint yet")
    return run.model(saved.state.variables)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a file whole or not at all.

    Raises:
      WorkdirError: if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomic(path, json.dumps(values, indent=1))
    except OSError as error:
        raise WorkdirError(
            f"{path}: {error.strerror}; mend it and run the same command to go on"
        ) from error


def _check_same(workdir: Path, old: TrainingRun, new: TrainingRun) -> None:
    other = [*dictionary.differences(old.config, new.config)]
    if old.block != new.block:
        other.insert(0, f"block: {old.block} -> {new.block}")
    if old.images != new.images or old.class_names != new.class_names:
        other.append(f"data: {old.images} -> {new.images}")
    if not np.array_equal(old.mean, new.mean) or not np.array_equal(old.std, new.std):
        other.append("data: the training images are others than they were")
    if other:
        raise WorkdirError(
            f"{workdir} holds another training ({'; '.join(other)}): want another "
            "--workdir, or the same block and configuration"
        )

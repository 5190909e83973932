"""Work directory of a full training.

`run.json` has block, configuration, images, classes and normalisation; `checkpoints/`
is Orbax's; `metrics.jsonl` and `tensorboard/` have a row for each epoch; `result.json`
is there when the training is finished.
"""

import importlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bqnn import files, runtime
from bqnn.config import dictionary
from bqnn.errors import BqnnError, UnknownLayerError
from bqnn.final import file_schemas
from bqnn.final.checkpoint import FOLDER, Checkpoints
from bqnn.final.config import FinalConfig
from bqnn.final.job import TrainingRun, abstract_state
from bqnn.final.model import Model
from bqnn.schema import Convert, FactError, fields, integer

RUN, RESULT, METRICS = "run.json", "result.json", "metrics.jsonl"
_NOT_SCALARS = ("epoch", "step")


class WorkdirError(BqnnError):
    """A work directory that is missing, damaged, or of another training."""


def start(workdir: Path, run: TrainingRun) -> None:
    """Write `run.json`, or check that it records the same training.

    Raises:
      WorkdirError: if it records another training, or cannot be written.
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
    """Read `run.json`.

    Raises:
      WorkdirError: if it is missing or damaged.
    """
    try:
        run: TrainingRun = read_json(workdir / RUN, _training_run)
    except FileNotFoundError:
        raise WorkdirError(
            f"{workdir}: there is no training; make one with `python -m launch.train "
            f"--workdir={workdir} ...`"
        ) from None
    return run


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
    """Read the result of a training; None if it is not finished.

    Raises:
      WorkdirError: if the result is damaged.
    """
    try:
        found: dict[str, Any] = read_json(workdir / RESULT, file_schemas.RESULT)
    except FileNotFoundError:
        return None
    return found


def _training_run(value: Any) -> TrainingRun:
    """Want the values of `run.json`."""
    found = _RUN(value)
    run = TrainingRun(**{name: found[name] for name in TrainingRun._fields})
    file_schemas.check_model(run.model({}))
    return run


def read_json(path: Path, convert: Convert) -> Any:
    """Read a file of JSON by a schema.

    Raises:
      FileNotFoundError: if there is none.
      WorkdirError: if it is damaged, or has a layer that is not known here.
    """
    try:
        return convert(files.read_json(path))
    except FileNotFoundError:
        raise
    except UnknownLayerError as error:
        raise WorkdirError(f"{path}: {error}") from error
    except (OSError, ValueError, FactError) as error:
        raise WorkdirError(f"{path}: damaged ({error})") from error


def lock(workdir: Path) -> int:
    """Lock a work directory; processes that train together have a lock each.

    Returns:
      A file descriptor; closing it frees the lock.

    Raises:
      JournalError: if another process holds the lock.
      WorkdirError: if the lock cannot be made.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        return files.take_lock(workdir / f"process{jax.process_index()}.lock")
    except OSError as error:
        raise WorkdirError(f"{workdir}: {error.strerror}") from error


class MetricsLog:
    """Writes a row for each epoch to `metrics.jsonl` and to TensorBoard's files."""

    def __init__(self, workdir: Path, done: list[dict[str, Any]]) -> None:
        """Start with the rows `done`, which the last checkpoint has.

        This removes the rows that a killed run wrote after its checkpoint.
        """
        # Slow: it imports other packages that it finds. Its SummaryWriter writes from
        # a queue with semaphores, of which Python warns when a worker is killed.
        from tensorboardX.event_file_writer import EventsWriter

        # By name: its classes are made as it is imported, so no checker sees them.
        self._proto: Any = importlib.import_module("tensorboardX.proto.event_pb2")
        self._path, self._rows = workdir / METRICS, list(done)
        self._write()
        folder = workdir / "tensorboard"
        folder.mkdir(exist_ok=True)
        self._events = EventsWriter(str(folder / "events"))
        # TensorBoard hides what an earlier process wrote from this step on.
        following = done[-1]["step"] + 1 if done else 0
        start = self._proto.SessionLog(status=self._proto.SessionLog.START)
        self._add_event(following, session_log=start)

    def add(self, row: dict[str, Any]) -> None:
        """Write the row of an epoch.

        Raises:
          WorkdirError: if it cannot be written.
        """
        from tensorboardX.summary import scalar

        self._rows.append(row)
        self._write()
        for name, value in row.items():
            if name not in _NOT_SCALARS:
                self._add_event(row["step"], summary=scalar(name, value))
        self._events.flush()

    def close(self) -> None:
        """Close the files."""
        self._events.close()

    def _add_event(self, step: int, **content: Any) -> None:
        event = self._proto.Event(step=step, wall_time=time.time(), **content)
        self._events.write_event(event)

    def _write(self) -> None:
        text = "".join(json.dumps(row) + "\n" for row in self._rows)
        try:
            files.write_atomic(self._path, text, durable=False)
        except OSError as error:
            raise WorkdirError(f"{self._path}: {error.strerror}") from error


def load_model(workdir: Path, checkpoint: str = "last") -> Model:
    """Load a trained network.

    Args:
      workdir: work directory of its training, finished or not.
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
    """Write a file completely or not at all.

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
    """Check that a training is the one recorded."""
    changes = [*dictionary.differences(old.config, new.config)]
    if old.block != new.block:
        changes.insert(0, f"block: {old.block} -> {new.block}")
    if old.images != new.images or old.class_names != new.class_names:
        changes.append(f"data: {old.images} -> {new.images}")
    if not np.array_equal(old.mean, new.mean) or not np.array_equal(old.std, new.std):
        changes.append("data: the training images are others than they were")
    if changes:
        raise WorkdirError(
            f"{workdir} holds another training ({'; '.join(changes)}): want another "
            "--workdir, or the same block and configuration"
        )

"""Checkpoints of a full training, written by Orbax: each is complete or absent."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from bqnn import files
from bqnn.errors import BqnnError
from bqnn.final import file_schemas

FOLDER = "checkpoints"


class CheckpointError(BqnnError):
    """A checkpoint cannot be written or read."""


class Saved(NamedTuple):
    """The contents of a checkpoint.

    The rows are saved with the weights. So the metrics of a killed run can never
    disagree with its weights: `metrics.jsonl` is written again from these rows.

    Attributes:
      state: tree of NumPy arrays.
      history: one row of metrics for each epoch, as `bqnn.final.loop.EpochEnded` has.
    """

    state: Any
    history: list[dict[str, Any]]


class Checkpoints:
    """Checkpoints in one folder: the last, and the best by validation accuracy.

    Process 0 writes, the others read the same folder. Checkpoints are written in the
    background; if that fails, the next call raises.
    """

    def __init__(self, workdir: Path, read_only: bool = False) -> None:
        """Open the folder; make it if it is to be written.

        Args:
          workdir: work directory of the training.
          read_only: whether nothing will be saved.

        Raises:
          CheckpointError: if the folder cannot be made or opened.
        """
        process = jax.process_index()
        self._folder = workdir / FOLDER
        self._writes = process == 0 and not read_only
        keep = preservation_policy.AnyPreservationPolicy(
            [
                preservation_policy.LatestN(1),
                preservation_policy.BestN(get_metric_fn=_accuracy, n=1),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=keep,
            best_fn=_accuracy,
            read_only=not self._writes,
            enable_async_checkpointing=self._writes,
            # Every process holds the whole state. Orbax is told that each is alone, so
            # that none waits for another.
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                primary_host=process,
                active_processes={process},
                barrier_sync_key_prefix=f"process{process}",
            ),
            create=False,
        )
        try:
            if self._writes:
                self._folder.mkdir(parents=True, exist_ok=True)
            files.check_tree(self._folder)
            self._manager = ocp.CheckpointManager(
                self._folder.absolute(),
                options=options,
                item_names=("state", "history"),
                item_handlers={
                    "state": ocp.StandardCheckpointHandler(),
                    "history": ocp.JsonCheckpointHandler(),
                },
            )
        except Exception as error:
            # A folder that others made can make Orbax raise any exception.
            raise CheckpointError(f"{self._folder}: {_cause(error)}") from error

    def save(self, step: int, saved: Saved, accuracy: float | None) -> None:
        """Save in the background, unless this step is saved already.

        Args:
          step: number of steps done.
          saved: contents of the checkpoint.
          accuracy: validation accuracy; None without a validation part.

        Raises:
          CheckpointError: if this or an earlier save failed. Older checkpoints are
            intact.
        """
        if not self._writes or step in self._manager.all_steps():
            return
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(_by_path(saved.state, np.asarray)),
            history=ocp.args.JsonSave({"epochs": saved.history}),
        )
        metrics = {"accuracy": -1.0 if accuracy is None else accuracy}
        self._guarded(
            lambda: self._manager.save(step, args=items, metrics=metrics, force=True)
        )

    def restore(self, like: Any, which: str = "last") -> Saved | None:
        """Restore a checkpoint.

        Args:
          like: tree of arrays, or of `jax.ShapeDtypeStruct`, with the names, shapes and
            dtypes that the state must have.
          which: `last`, or `best` by validation accuracy.

        Returns:
          The contents; None if there is no checkpoint.

        Raises:
          CheckpointError: if it cannot be read, or is of another network or recipe.
        """
        manager = self._manager
        step = manager.best_step() if which == "best" else manager.latest_step()
        if step is None:
            return None
        self._guarded(lambda: self._check(step, like))
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(_by_path(like, _untouched)),
            history=ocp.args.JsonRestore(),
        )
        return self._guarded(lambda: _saved(manager.restore(step, args=items), like))

    def wait(self) -> None:
        """Wait until every checkpoint is written.

        Raises:
          CheckpointError: if one could not be written.
        """
        self._guarded(self._manager.wait_until_finished)

    def close(self) -> None:
        """Wait as `wait` does, and close the folder."""
        self._guarded(self._manager.close)

    def _check(self, step: int, like: Any) -> None:
        """Compare names and shapes of arrays before any of them is read."""
        metadata = self._manager.item_metadata(step)["state"]
        tree = getattr(metadata, "tree", metadata)
        found = {name: tuple(leaf.shape) for name, leaf in tree.items()}
        want = {name: leaf.shape for name, leaf in _by_path(like, _untouched).items()}
        for name in sorted(found.keys() | want.keys()):
            if found.get(name) != want.get(name):
                raise CheckpointError(
                    f"{self._folder}/{step} is of another network or recipe: {name} is "
                    f"{found.get(name, 'not there')}, want "
                    f"{want.get(name, 'not there')}"
                )

    def _guarded(self, action: Callable[[], Any]) -> Any:
        """Call `action`; raise whatever it raises as a `CheckpointError`."""
        try:
            return action()
        except CheckpointError:
            raise
        except Exception as error:
            # TensorStore, Orbax and the file system raise exceptions of their own.
            raise CheckpointError(
                f"checkpoint in {self._folder}: {_cause(error)}; earlier checkpoints "
                "are intact: mend it and run the same command to go on"
            ) from error


def _accuracy(metrics: Mapping[str, float]) -> float:
    return metrics["accuracy"]


def _by_path(tree: Any, convert: Callable[[Any], np.ndarray]) -> dict[str, np.ndarray]:
    """Flatten a tree to a dictionary of arrays by path.

    Orbax then needs no type of ours, and names and shapes can be compared before any
    array is read.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): convert(leaf) for path, leaf in leaves}


def _untouched(leaf: Any) -> np.ndarray:
    """Return an array of the same shape and dtype; its memory is never touched."""
    return np.zeros(leaf.shape, leaf.dtype)


def _saved(found: Any, like: Any) -> Saved:
    """Check the rows, and give the state the structure of `like`."""
    state = jax.tree_util.tree_map_with_path(
        lambda path, _: np.asarray(found["state"][jax.tree_util.keystr(path)]), like
    )
    return Saved(state, file_schemas.history(found["history"]["epochs"]))


def _cause(error: BaseException) -> str:
    """Return the first line of a message that may fill a page."""
    text = str(error)
    if "No space left" in text or "ENOSPC" in text:
        return "the disk is full"
    return json.dumps(text.splitlines()[0][:200]) if text else type(error).__name__

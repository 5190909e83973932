"""Checkpoints of a full training, kept by Orbax: whole or not there at all."""

import json
from collections.abc import Mapping
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

    Attributes:
      state: the tree of NumPy arrays that was saved.
      history: what was measured after each epoch, as JSON can hold it.
    """

    state: Any
    history: list[dict[str, Any]]


class Checkpoints:
    """The checkpoints in one folder: the last, and the best by validation accuracy.

    The first process writes, the others read the same folder. Writing goes on in the
    background; what went wrong is raised by the next call.
    """

    def __init__(self, workdir: Path, read_only: bool = False) -> None:
        """Open the folder, or make it unless it is only read.

        Raises:
          CheckpointError: if that cannot be done.
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
            # Every process holds the whole state: no process waits for another.
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
            # A folder that somebody else has made may make Orbax raise anything.
            raise CheckpointError(f"{self._folder}: {_cause(error)}") from error

    def save(self, step: int, saved: Saved, accuracy: float | None) -> None:
        """Save in the background, unless this step is saved already.

        Args:
          step: steps done.
          saved: what to save.
          accuracy: on the validation part, if it was measured.

        Raises:
          CheckpointError: if this or an earlier save failed; older ones are intact.
        """
        if not self._writes or step in self._manager.all_steps():
            return
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(_flat(saved.state)),
            history=ocp.args.JsonSave({"epochs": saved.history}),
        )
        metrics = {"accuracy": -1.0 if accuracy is None else accuracy}
        self._guarded(
            lambda: self._manager.save(step, args=items, metrics=metrics, force=True)
        )

    def restore(self, like: Any, which: str = "last") -> Saved | None:
        """Restore a checkpoint; None if there is none.

        Args:
          like: a tree of arrays, or of what describes them, of the structure, shapes
            and dtypes that it must have.
          which: `last`, or `best` by validation accuracy.

        Raises:
          CheckpointError: if it cannot be read, or is of another network or recipe.
        """
        manager = self._manager
        step = manager.best_step() if which == "best" else manager.latest_step()
        if step is None:
            return None
        self._guarded(lambda: self._check(step, like))
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(_abstract(like)),
            history=ocp.args.JsonRestore(),
        )
        return self._guarded(lambda: _saved(manager.restore(step, args=items), like))

    def wait(self) -> None:
        """Wait until all is written.

        Raises:
          CheckpointError: if it could not be.
        """
        self._guarded(self._manager.wait_until_finished)

    def close(self) -> None:
        """Wait, and let go of the folder."""
        self._guarded(self._manager.close)

    def _check(self, step: int, like: Any) -> None:
        """Verify names and shapes before anything is read."""
        metadata = self._manager.item_metadata(step)["state"]
        tree = getattr(metadata, "tree", metadata)
        found = {name: tuple(leaf.shape) for name, leaf in tree.items()}
        want = {name: leaf.shape for name, leaf in _abstract(like).items()}
        for name in sorted(found.keys() | want.keys()):
            if found.get(name) != want.get(name):
                raise CheckpointError(
                    f"{self._folder}/{step} is of another network or recipe: {name} is "
                    f"{found.get(name, 'not there')}, want "
                    f"{want.get(name, 'not there')}"
                )

    def _guarded(self, action: Any) -> Any:
        try:
            return action()
        except CheckpointError:
            raise
        except Exception as error:
            # TensorStore, Orbax and the file system each raise their own.
            raise CheckpointError(
                f"checkpoint in {self._folder}: {_cause(error)}; earlier checkpoints "
                "are intact: mend it and run the same command to go on"
            ) from error


def _accuracy(metrics: Mapping[str, float]) -> float:
    return metrics["accuracy"]


def _flat(tree: Any) -> dict[str, Any]:
    """Name every array by its path; Orbax does not know our tuples."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def _abstract(like: Any) -> dict[str, np.ndarray]:
    """Make arrays, of memory that is not touched, for Orbax to see what is wanted."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(like)
    return {
        jax.tree_util.keystr(path): np.zeros(leaf.shape, leaf.dtype)
        for path, leaf in leaves
    }


def _saved(found: Any, like: Any) -> Saved:
    history = file_schemas.history(found["history"]["epochs"])
    return Saved(_unflat(found["state"], like), history)


def _unflat(flat: Mapping[str, Any], like: Any) -> Any:
    return jax.tree_util.tree_map_with_path(
        lambda path, _: np.asarray(flat[jax.tree_util.keystr(path)]), like
    )


def _cause(error: BaseException) -> str:
    """Take the first line of what may be a page."""
    text = str(error)
    if "No space left" in text or "ENOSPC" in text:
        return "the disk is full"
    return json.dumps(text.splitlines()[0][:200]) if text else type(error).__name__

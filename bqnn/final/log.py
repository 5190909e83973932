"""Writes what a training measures: `metrics.jsonl`, and TensorBoard's event files."""

import json
from pathlib import Path
from typing import Any

from bqnn import files
from bqnn.final.workdir import WorkdirError

METRICS = "metrics.jsonl"
_NOT_DRAWN = ("epoch", "step")


class MetricsLog:
    """Rows of a training by epoch; a context manager."""

    def __init__(self, workdir: Path, done: list[dict[str, Any]]) -> None:
        """Begin with the epochs done, whatever a killed run wrote after them."""
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
            if name not in _NOT_DRAWN:
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

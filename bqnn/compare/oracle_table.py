"""Oracle table: the csv file of an oracle, which grows while blocks are trained."""

import contextlib
import csv
import io
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from bqnn import files
from bqnn.compare.csv_benchmarks import accuracy, read_rows
from bqnn.compare.oracle import CPU, Trained
from bqnn.errors import DataError, quote
from bqnn.schema import LARGEST_TEXT_FILE

Row = tuple[str, ...]


class OracleTable:
    """A csv file with a row for every block: its cost, and a value for every training.

    Columns: `block`; `params` and `flops` of the network; for every seed S the accuracy
    after the last epoch, `accuracy_S`, and after each epoch E before it,
    `epoch_E_accuracy_S`; `cpu_seconds_S`.
    """

    def __init__(self, path: Path, seeds: int, epochs: int) -> None:
        """Write nothing yet.

        Args:
          path: of the file.
          seeds: trainings of a block.
          epochs: of a training.
        """
        names = ["accuracy", *(f"epoch_{e}_accuracy" for e in range(1, epochs))]
        self._path = path
        self._accuracies = [f"{name}_{s}" for name in names for s in range(seeds)]
        seconds = [f"cpu_seconds_{s}" for s in range(seeds)]
        self._header = ("block", "params", "flops", *self._accuracies, *seconds)

    def read(self, blocks: Collection[str]) -> dict[str, Row]:
        """Read what an earlier run has trained: rows by block.

        A line that a kill left unfinished is removed from the file.

        Args:
          blocks: of the space.

        Raises:
          DataError: if the file cannot be read, or is of another space or recipe.
        """
        if not self._path.exists() or not self._mended():
            return {}
        rows = read_rows(self._path, "block")
        for text, row in rows.items():
            if tuple(row) != self._header:
                raise DataError(
                    f"{self._path} has other columns than {','.join(self._header)}"
                )
            if text not in blocks:
                raise DataError(
                    f"{self._path} has {quote(text)}, which this space has not"
                )
            for column in self._accuracies:
                accuracy(self._path, row, column, 1)
        return {text: tuple(row.values()) for text, row in rows.items()}

    def append(self, trained: Trained) -> Row:
        """Add a row, so that it survives a kill; returns it.

        Raises:
          DataError: if the file cannot be written.
        """
        row = _row(trained)
        with self._errors(), self._path.open("a", encoding="utf-8") as file:
            file.write(_csv([row] if file.tell() else [self._header, row]))
            file.flush()
            os.fsync(file.fileno())
        return row

    def write(self, rows: Iterable[Row]) -> None:
        """Replace the file by one that holds `rows`.

        Raises:
          DataError: if the file cannot be written; the old one is intact.
        """
        with self._errors():
            files.write_atomic(self._path, _csv([self._header, *rows]))

    def _mended(self) -> int:
        """Remove an unfinished line; return how many bytes are left."""
        with self._errors():
            content = files.read_bytes(self._path, LARGEST_TEXT_FILE)
            end = content.rfind(b"\n") + 1
            if end < len(content):
                os.truncate(self._path, end)
        return end

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = f"{self._path}: {error.strerror or error}"
            raise DataError(message) from error


def _row(trained: Trained) -> Row:
    candidate, evaluations = trained
    # Of every epoch, the last one first: the accuracies of all seeds.
    *earlier, last = zip(*(e.accuracy for e in evaluations), strict=True)
    accuracies = [value for epoch in (last, *earlier) for value in epoch]
    return (
        str(candidate.block),
        str(candidate.network_params),
        str(candidate.network_flops),
        *(f"{value:.6g}" for value in accuracies),
        *(f"{evaluation.seconds[CPU]:.3f}" for evaluation in evaluations),
    )


def _csv(rows: Iterable[Row]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()

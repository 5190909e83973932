"""Tables of accuracies as csv, which others may have written."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from bqnn import files
from bqnn.errors import DataError, quote, shortened

Rows = Mapping[str, Mapping[str, str]]
"""By the value of one column: the values of all, by name."""


def read_rows(path: Path, key: str) -> Rows:
    """Read a table.

    Args:
      path: of a csv file with a line of names.
      key: the column that names the rows.

    Raises:
      DataError: if it cannot be read, lacks the column, or has a row twice.
    """
    rows: dict[str, Mapping[str, str]] = {}
    try:
        reader = csv.DictReader(io.StringIO(files.read_text(path), newline=""))
        names = reader.fieldnames or ()
        if key not in names:
            raise DataError(f"{path} is no such table: want csv with a column {key}")
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if None in row or None in row.values():
                raise DataError(f"{where}: want {len(names)} values")
            if row[key] in rows:
                raise DataError(f"{where}: {quote(row[key])} is there twice")
            rows[row[key]] = row
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except (ValueError, csv.Error) as error:
        raise DataError(
            f"{path} is no such table ({shortened(str(error))}): want csv with a "
            f"column {key}"
        ) from error
    return rows


def accuracy(path: Path, row: Mapping[str, str], column: str, most: int) -> float:
    """Read an accuracy of a row, as a fraction.

    Args:
      path: of the table.
      row: of it.
      column: the name of the column.
      most: what stands for 100 %.

    Raises:
      DataError: if it is missing, or no number from 0 to `most`.
    """
    text = row.get(column)
    try:
        value = float(text or "")
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:  # NaN neither
        raise DataError(
            f"{path}: column {column} has {quote(text)}: want a number from 0 to {most}"
        )
    return value / most

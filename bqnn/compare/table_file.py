"""Tabular benchmark from anyone's csv file: a column for every categorical decision."""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bqnn.compare.csv_benchmarks import each_row
from bqnn.compare.tabular import Result, TabularBenchmark, make_benchmark
from bqnn.errors import DataError, quote
from bqnn.space.categorical import CategoricalSpace

_LONGEST_TRAINING = 1e9  # seconds


class Columns(NamedTuple):
    """Names of the columns that are results; all others are decisions.

    Attributes:
      told: what agents are told.
      reported: what is reported of the best.
      seconds: how long the training took, if the table knows it.
    """

    told: str
    reported: str
    seconds: str | None = None


_Chosen = tuple[str, ...]


def read_table(path: Path, columns: Columns) -> TabularBenchmark:
    """Read a table with one row for every combination of choices.

    The choices of a decision are the values of its column, sorted as text. Results are
    accuracies from 0 to 100: larger is better. Per cent is told as a fraction.

    Args:
      path: a csv file whose first line names the columns.
      columns: which of them are results.

    Raises:
      DataError: if the file cannot be read, a value is malformed, or a combination is
        missing or there twice.
    """
    table = list(each_row(path, columns.told))
    decisions = [name for _, row in table[:1] for name in row if name not in columns]
    if not decisions:
        raise DataError(f"{path}: want rows, with columns of decisions beside results")
    found: dict[_Chosen, Result] = {}
    for where, row in table:
        chosen = tuple(row[name] for name in decisions)
        if chosen in found:
            raise DataError(f"{where}: {_written(decisions, chosen)} is there twice")
        found[chosen] = _result(where, row, columns)
    choices = {
        name: sorted(set(values))
        for name, values in zip(decisions, zip(*found, strict=True), strict=True)
    }
    _check(path, choices, found)
    rewards, true_values, seconds = zip(*found.values(), strict=True)
    results = zip(_fractions(rewards), _fractions(true_values), seconds, strict=True)
    rows = dict(zip(found, itertools.starmap(Result, results), strict=True))
    every = (rows[chosen] for chosen in itertools.product(*choices.values()))
    return make_benchmark(CategoricalSpace(choices).arrays, every)


def _result(where: str, row: Mapping[str, str], columns: Columns) -> Result:
    told = _number(where, row, columns.told, 100)
    reported = _number(where, row, columns.reported, 100)
    if columns.seconds is None:
        return Result(told, reported)
    seconds = _number(where, row, columns.seconds, _LONGEST_TRAINING)
    return Result(told, reported, seconds)


def _number(where: str, row: Mapping[str, str], column: str, most: float) -> float:
    if column not in row:
        raise DataError(f"{where}: there is no column {quote(column)}")
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:  # NaN neither
        raise DataError(
            f"{where}: column {quote(column)} has {quote(row[column])}: want a number "
            f"from 0 to {most:g}"
        )
    return value


def _fractions(values: tuple[float, ...]) -> list[float]:
    """Divide accuracies by 100 if they are in per cent: if one is above 1."""
    scale = 100 if max(values) > 1 else 1
    return [value / scale for value in values]


def _check(
    path: Path, choices: Mapping[str, list[str]], found: Mapping[_Chosen, Result]
) -> None:
    """Check that there are choices, and that every combination of them is there."""
    for name, values in choices.items():
        if len(values) < 2:
            raise DataError(
                f"{path}: column {quote(name)} has one value: a decision has two or "
                "more (leave the column out)"
            )
    size = math.prod(map(len, choices.values()))
    if len(found) != size:
        every = itertools.product(*choices.values())
        first = next(chosen for chosen in every if chosen not in found)
        raise DataError(
            f"{path} lacks {size - len(found):,} of {size:,} combinations, such as "
            f"{_written(list(choices), first)}: want a row for each (all columns but "
            "results are decisions)"
        )


def _written(names: list[str], chosen: _Chosen) -> str:
    pairs = ",".join(f"{n}={v}" for n, v in zip(names, chosen, strict=True))
    return quote(pairs, 200)

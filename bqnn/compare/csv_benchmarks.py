"""Tabular benchmarks from csv files: NAS-Bench-201, and the tables of `launch.oracle`.

Others may have written the files, so every value is checked.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from bqnn import files
from bqnn.compare.tabular import (
    FullTrainings,
    Result,
    TabularBenchmark,
    all_actions,
    check_size,
    make_benchmark,
)
from bqnn.config import Config
from bqnn.errors import DataError, NscError, quote, shortened
from bqnn.evaluation.records import Evaluation, Status
from bqnn.networks.plan import ImageSpec
from bqnn.search.problem import make_candidate, make_problem
from bqnn.space import nsc
from bqnn.space.nasbench201 import NasBench201Space, cell_costs

DATASETS = {"cifar10": "c10", "cifar100": "c100", "imagenet16-120": "in16"}
"""Data sets of NAS-Bench-201, and the prefixes of their columns."""

_ACCURACY = "accuracy_"
_EARLY, _FULL = 12, 200  # epochs of NAS-Bench-201

Rows = Mapping[str, Mapping[str, str]]
"""Rows by the value of one column; a row maps column names to values."""


def read_nasbench201(path: Path, dataset: str) -> TabularBenchmark:
    """Read NAS-Bench-201 (Dong and Yang, ICLR 2020).

    The reward is the validation accuracy after 12 epochs, the true value is the test
    accuracy after 200. A reward that is learnt learns from that too: the table has no
    validation accuracy after 200 epochs. The cost is FLOPs.

    Args:
      path: a csv file with the columns `arch`, `*_val_12` and `*_test_200` (per cent).
      dataset: one of `DATASETS`.

    Raises:
      DataError: if the file cannot be read or lacks a cell.
    """
    if dataset not in DATASETS:
        raise DataError(f"--dataset={quote(dataset)}: want {', '.join(DATASETS)}")
    prefix, space = DATASETS[dataset], NasBench201Space()
    rows = read_rows(path, "arch")
    columns = f"{prefix}_val_{_EARLY}", f"{prefix}_test_{_FULL}"

    def result(actions: np.ndarray) -> Result:
        cell = space.decode(actions)
        row = _row(path, rows, cell, cell)
        return Result(*(accuracy(path, row, column, 100) for column in columns))

    arrays = space.arrays
    benchmark = make_benchmark(arrays, map(result, all_actions(arrays)))
    entries = np.arange(len(benchmark.rewards), dtype=np.int32)
    costs = cell_costs(benchmark.actions_of(entries))
    terms = np.stack([benchmark.rewards, np.log(costs.params)], axis=1)
    final = benchmark.true_values.astype(np.float64)
    return benchmark._replace(
        full=FullTrainings(terms, final, _FULL / _EARLY),
        log_costs=np.log(costs.flops).astype(np.float32),
    )


def read_oracle(path: Path, config: Config, images: ImageSpec) -> TabularBenchmark:
    """Read a table that `launch.oracle` made of every block of a small space.

    The true value is the mean accuracy over seeds, the reward is that of the mean.
    Blocks with more layers than the space has are left out: a table may hold a part of
    them alone.

    Args:
      path: a csv file, or a csv.xz, with the columns `block` and `accuracy_0`,
        `accuracy_1`, ...
      config: of the search: space, network, reward.
      images: shape of the images of the table, and number of classes.

    Raises:
      DataError: if the file cannot be read, is of another space, or lacks a block.
      ConfigError: if the space has more blocks than can be listed.
    """
    problem = make_problem(config, images)
    table = read_rows(path, "block")
    names = [n for n in next(iter(table.values()), ()) if n.startswith(_ACCURACY)]
    if not names:
        raise DataError(
            f"{path}: want rows, with columns {_ACCURACY}0, {_ACCURACY}1, ..."
        )
    blocks = [_block(path, text) for text in table]
    # Checked before blocks are listed: there are billions of six layers.
    longest, wanted = max(map(len, blocks)), config.space.max_layers
    if longest < wanted:
        raise DataError(
            f"{path} has blocks of up to {longest} layers, this space has up to "
            f"{wanted}: want --config.space.max_layers={longest}"
        )
    check_size(problem.space.arrays)
    hint = ", or another --config.space.max_layers"
    there = zip(blocks, table.values(), strict=True)
    kept = [(block, row) for block, row in there if len(block) <= wanted]
    rows = _by_hash(path, kept, config.network.width, names)

    def result(actions: np.ndarray) -> Result:
        candidate = make_candidate(problem, problem.space.decode(actions))
        row = _row(path, rows, candidate.hash, str(candidate.block), hint)
        mean = float(np.mean([accuracy(path, row, name, 1) for name in names]))
        evaluation = Evaluation(Status.OK, (mean,))
        return Result(problem.reward(candidate, evaluation), mean)

    arrays = problem.space.arrays
    return make_benchmark(arrays, map(result, all_actions(arrays)))


def _by_hash(
    path: Path,
    table: Sequence[tuple[nsc.Block, Mapping[str, str]]],
    width: str,
    names: Sequence[str],
) -> Rows:
    """Index rows by canonical hash; blocks of one hash must agree in `names`."""
    rows: dict[str, Mapping[str, str]] = {}
    for block, row in table:
        twin = rows.setdefault(nsc.canonical_hash(block, width), row)
        if any(twin[name] != row[name] for name in names):
            raise DataError(
                f"{path}: {block} is there twice, written in two ways, with other "
                "accuracies"
            )
    return rows


def _block(path: Path, text: str) -> nsc.Block:
    try:
        return nsc.parse(text)
    except NscError as error:
        raise DataError(f"{path}: {error}") from error


def _row(
    path: Path, rows: Rows, key: str, what: str, hint: str = ""
) -> Mapping[str, str]:
    if key not in rows:
        raise DataError(
            f"{path} has no row for {what}: want every block of the space{hint}"
        )
    return rows[key]


def read_rows(path: Path, key: str) -> Rows:
    """Read a table.

    Args:
      path: of a csv file whose first line names the columns.
      key: the column that identifies a row.

    Raises:
      DataError: if it cannot be read, lacks the column, or has a row twice.
    """
    rows: dict[str, Mapping[str, str]] = {}
    for where, row in each_row(path, key):
        if row[key] in rows:
            raise DataError(f"{where}: {quote(row[key])} is there twice")
        rows[row[key]] = row
    return rows


def each_row(path: Path, key: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the rows of a csv file, each after a text that says where it stands.

    Args:
      path: of a csv file whose first line names the columns.
      key: a column that it must have.

    Raises:
      DataError: if it cannot be read, or lacks the column.
    """
    try:
        reader = csv.DictReader(io.StringIO(files.read_text(path), newline=""))
        names = reader.fieldnames or ()
        if key not in names:
            raise DataError(f"{path} is no such table: want csv with a column {key}")
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if None in row or None in row.values():
                raise DataError(f"{where}: want {len(names)} values")
            yield where, row
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except (ValueError, csv.Error) as error:
        raise DataError(
            f"{path} is no such table ({shortened(str(error))}): want csv with a "
            f"column {key}"
        ) from error


def accuracy(path: Path, row: Mapping[str, str], column: str, most: int) -> float:
    """Read one accuracy, as a fraction.

    Args:
      path: of the table.
      row: of the table.
      column: the name of the column.
      most: the value that means 100 %.

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

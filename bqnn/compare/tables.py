"""Tables of evaluations that were done before: NAS-Bench-201, and our own oracle."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bqnn import nsc, problem
from bqnn.compare.landscape import Landscape, all_actions, make_landscape
from bqnn.config import Config
from bqnn.errors import DataError, quote
from bqnn.nasbench201 import NasBench201Space
from bqnn.plan import ImageSpec
from bqnn.records import Evaluation, Status

DATASETS = {"cifar10": "c10", "cifar100": "c100", "imagenet16-120": "in16"}
"""The data sets of NAS-Bench-201, and what their columns begin with."""

_Rows = Mapping[str, Mapping[str, str]]


def nasbench201(path: Path, dataset: str) -> Landscape:
    """Read NAS-Bench-201 (Dong and Yang, ICLR 2020).

    The agent is told the validation accuracy after 12 epochs; the test accuracy after
    200 is what is reported.

    Args:
      path: a csv file with the columns `arch`, `*_val_12` and `*_test_200` (per cent).
      dataset: one of `DATASETS`.

    Raises:
      DataError: if the file cannot be read or lacks a cell.
    """
    if dataset not in DATASETS:
        raise DataError(f"--dataset={quote(dataset)}: want {', '.join(DATASETS)}")
    prefix, space = DATASETS[dataset], NasBench201Space()
    rows = _read(path, "arch")
    columns = f"{prefix}_val_12", f"{prefix}_test_200"

    def worth(actions: np.ndarray) -> tuple[float, float]:
        cell = space.decode(actions)
        row = _row(path, rows, cell, cell)
        seen, true = (_number(path, row, column) for column in columns)
        return seen / 100, true / 100

    arrays = space.arrays
    return make_landscape(arrays, map(worth, all_actions(arrays)))


def oracle(path: Path, config: Config, images: ImageSpec) -> Landscape:
    """Read a table that `launch.oracle` made of every block of a small space.

    The agent is told the reward of the accuracy's mean over seeds; the mean is what is
    reported.

    Args:
      path: a csv file with the columns `block` and `accuracy_0`, `accuracy_1`, ...
      config: of the search: space, network, reward.
      images: that the table was made with.

    Raises:
      DataError: if the file cannot be read, is of another space, or lacks a block.
      NscError: if it holds what is no block.
    """
    work = problem.make_problem(config, images)
    table = {nsc.parse(text): row for text, row in _read(path, "block").items()}
    # Before anything is listed: there are billions of blocks of six layers.
    longest, wanted = max(map(len, table), default=0), config.space.max_layers
    if longest != wanted:
        raise DataError(
            f"{path} has blocks of up to {longest} layers, this space has up to "
            f"{wanted}: want --config.space.max_layers={longest}"
        )
    width = config.network.width
    rows = {nsc.canonical_hash(block, width): row for block, row in table.items()}

    def worth(actions: np.ndarray) -> tuple[float, float]:
        candidate = problem.make_candidate(work, work.space.decode(actions))
        row = _row(path, rows, candidate.hash, str(candidate.block))
        names = [name for name in row if name.startswith("accuracy_")]
        mean = float(np.mean([_number(path, row, name) for name in names]))
        evaluation = Evaluation(Status.OK, (mean,))
        return problem.reward(work, candidate, evaluation), mean

    arrays = work.space.arrays
    return make_landscape(arrays, map(worth, all_actions(arrays)))


def _read(path: Path, key: str) -> _Rows:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {row[key]: row for row in csv.DictReader(file)}
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} is no such table: want csv with a column {key}"
        ) from error


def _row(path: Path, rows: _Rows, key: str, what: str) -> Mapping[str, str]:
    if key not in rows:
        raise DataError(f"{path} has no row for {what}: want every block of the space")
    return rows[key]


def _number(path: Path, row: Mapping[str, str], column: str) -> float:
    try:
        return float(row[column])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: column {column} has {quote(row.get(column))}: want a number"
        ) from error

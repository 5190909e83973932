"""Tables of evaluations that were done before: NAS-Bench-201, and our own oracle."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bqnn.compare.csv_table import Rows, accuracy, read_rows
from bqnn.compare.landscape import Landscape, all_actions, check_size, make_landscape
from bqnn.config import Config
from bqnn.errors import DataError, NscError, quote
from bqnn.evaluation.records import Evaluation, Status
from bqnn.networks.plan import ImageSpec
from bqnn.search import problem
from bqnn.space import nsc
from bqnn.space.nasbench201 import NasBench201Space

DATASETS = {"cifar10": "c10", "cifar100": "c100", "imagenet16-120": "in16"}
"""The data sets of NAS-Bench-201, and what their columns begin with."""

_ACCURACY = "accuracy_"


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
    rows = read_rows(path, "arch")
    columns = f"{prefix}_val_12", f"{prefix}_test_200"

    def worth(actions: np.ndarray) -> tuple[float, float]:
        cell = space.decode(actions)
        row = _row(path, rows, cell, cell)
        seen, true = (accuracy(path, row, column, 100) for column in columns)
        return seen, true

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
      ConfigError: if the space has more blocks than can be listed.
    """
    work = problem.make_problem(config, images)
    table = read_rows(path, "block")
    names = [n for n in next(iter(table.values()), ()) if n.startswith(_ACCURACY)]
    if not names:
        raise DataError(
            f"{path}: want rows, with columns {_ACCURACY}0, {_ACCURACY}1, ..."
        )
    blocks = [_block(path, text) for text in table]
    # Before anything is listed: there are billions of blocks of six layers.
    longest, wanted = max(map(len, blocks)), config.space.max_layers
    if longest != wanted:
        raise DataError(
            f"{path} has blocks of up to {longest} layers, this space has up to "
            f"{wanted}: want --config.space.max_layers={longest}"
        )
    check_size(work.space.arrays)
    rows: dict[str, Mapping[str, str]] = {}
    for block, row in zip(blocks, table.values(), strict=True):
        sha = nsc.canonical_hash(block, config.network.width)
        twin = rows.setdefault(sha, row)
        if any(twin[name] != row[name] for name in names):
            raise DataError(
                f"{path}: {block} is there twice, written in two ways, with other "
                "accuracies"
            )

    def worth(actions: np.ndarray) -> tuple[float, float]:
        candidate = problem.make_candidate(work, work.space.decode(actions))
        row = _row(path, rows, candidate.hash, str(candidate.block))
        mean = float(np.mean([accuracy(path, row, name, 1) for name in names]))
        evaluation = Evaluation(Status.OK, (mean,))
        return work.reward(candidate, evaluation), mean

    arrays = work.space.arrays
    return make_landscape(arrays, map(worth, all_actions(arrays)))


def _block(path: Path, text: str) -> nsc.Block:
    try:
        return nsc.parse(text)
    except NscError as error:
        raise DataError(f"{path}: {error}") from error


def _row(path: Path, rows: Rows, key: str, what: str) -> Mapping[str, str]:
    if key not in rows:
        raise DataError(f"{path} has no row for {what}: want every block of the space")
    return rows[key]

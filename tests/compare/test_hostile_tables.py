"""Tables of accuracies that others made to do harm: one clear line."""

import functools
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bqnn.compare import csv_benchmarks
from bqnn.compare.comparison import Store
from bqnn.compare.contenders import parse
from bqnn.compare.csv_benchmarks import read_nasbench201, read_oracle
from bqnn.compare.oracle import canonical_blocks
from bqnn.compare.statistics import Searches
from bqnn.config import Config
from bqnn.errors import BqnnError, DataError
from bqnn.search.problem import make_problem
from tests.helpers.fuzzing import CONTROL, attempt
from tests.helpers.searches import SPEC, tiny_config
from tests.helpers.thorough import times

pytestmark = pytest.mark.usefixtures("no_hang", "made_once")


@pytest.fixture
def made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make equal problems once."""
    monkeypatch.setattr(csv_benchmarks, "make_problem", functools.cache(make_problem))


def _config(layers: int) -> Config:
    return tiny_config(space={"max_layers": layers})


CONFIG = _config(1)
BLOCKS = [str(block) for block in canonical_blocks(CONFIG, SPEC)]


def _row(block: str, accuracy: str = "0.5") -> str:
    return f'"{block}",{accuracy}\n'


def _rows(accuracy: str = "0.5") -> str:
    """A table, one of whose accuracies is given."""
    first, *rest = BLOCKS
    return "block,accuracy_0\n" + _row(first, accuracy) + "".join(map(_row, rest))


def _chain(layers: int) -> str:
    return ";".join(f"{i},1,1,{i - 1},0" for i in range(1, layers + 1))


TABLES: dict[str, tuple[str | bytes, str]] = {
    "no accuracies": (
        _rows().replace("accuracy_0", "x"),
        "want rows, with columns acc",
    ),
    "no rows": ("block,accuracy_0\n", "want rows, with columns"),
    "nothing": ("", "is no such table: want csv with a column block"),
    "NaN": (_rows("nan"), "accuracy_0 has 'nan': want a number from 0 to 1"),
    "infinite": (_rows("-inf"), "has '-inf': want a number from 0 to 1"),
    "per cent": (_rows("50"), "has '50': want a number from 0 to 1"),
    "text": (_rows("\x1b]0;x\x07"), r"has '\\x1b]0;x\\x07': want a number"),
    "a value more": (_rows("0.5,0.5"), "line 2: want 2 values"),
    "a value less": ('block,accuracy_0\n"1,1,1,0,0"\n', "line 2: want 2 values"),
    "twice": (_rows() + _row(BLOCKS[0]), f"'{BLOCKS[0]}' is there twice"),
    "twice, written otherwise": (_rows() + _row(BLOCKS[0][:9], "0.25"), "in two ways"),
    "a block less": ("".join(_rows().splitlines(True)[:-1]), "has no row for"),
    "no block": (_rows() + _row("\x1b]0;x\x07"), r"x.csv: layer '\\x1b]0': want five"),
    "a long field": (_rows() + _row("x" * 200_000), "field larger than field limit"),
    "a long block": (_rows() + _row("1,1,3,0,0;" * 9999), "want 4,096 at most"),
    "bytes": (b"\x00\xff\x93" * 1000, "is no such table"),
    "twelve layers alone": (
        "block,accuracy_0\n" + _row(_chain(12)),
        "has no row for .* or another --config.space.max_layers",
    ),
}


@pytest.mark.parametrize("fault", TABLES)
def test_an_oracle_is_not_believed(fault: str, tmp_path: Path) -> None:
    content, message = TABLES[fault]
    path = tmp_path / "x.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=message) as caught:
        read_oracle(path, CONFIG, SPEC)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("layers", [6, 12, 60])
def test_a_space_that_cannot_be_listed_is_refused(layers: int, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(_rows() + _row(_chain(layers)))
    for read in (
        lambda: read_oracle(path, _config(layers), SPEC),
        lambda: canonical_blocks(_config(layers), SPEC),
    ):
        with pytest.raises(BqnnError, match="want a smaller --config.space.max_layers"):
            read()


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_a_damaged_xz_is_refused(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "x.csv.xz"
    path.write_bytes(lzma.compress(_rows().encode()))
    assert np.isfinite(read_oracle(path, CONFIG, SPEC).rewards).any()
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match="is no such table .xz: "):
        read_oracle(path, CONFIG, SPEC)


def test_a_table_is_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.csv")
    for path in (tmp_path / "x.csv", tmp_path, Path("/dev/zero")):
        with pytest.raises(DataError, match="not a regular file"):
            read_oracle(path, CONFIG, SPEC)


@pytest.mark.parametrize("value", ["nan", "600", "-1", ""])
def test_nasbench201_is_not_believed(value: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    first = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    path.write_text(f"arch,c10_val_12,c10_test_200\n{first},50,{value}\n")
    with pytest.raises(DataError, match=f"c10_test_200 has '{value}': want a number f"):
        read_nasbench201(path, "cifar10")


ARRAYS = ("rewards", "reported", "trained", "seconds", "log_costs")
FILES: dict[str, Callable[[], dict[str, np.ndarray]]] = {
    "another shape": lambda: {name: np.zeros((4, 3)) for name in ARRAYS},
    "texts": lambda: {name: np.full((4, 2), "x") for name in ARRAYS},
    "one only": lambda: {"rewards": np.zeros((4, 2))},
}


@pytest.mark.parametrize("fault", FILES)
def test_searches_that_are_done_are_not_believed(fault: str, tmp_path: Path) -> None:
    (agent,), store = parse("q", CONFIG), Store(tmp_path, "a")
    store.save(agent, 2, Searches(*np.zeros((5, 4, 2))))
    assert store.load(agent, 2, 4)
    (path,) = tmp_path.iterdir()
    np.savez(path, **FILES[fault]())  # type: ignore[arg-type]
    with pytest.raises(DataError, match="is damaged: delete it"):
        store.load(agent, 2, 4)


FIELDS = st.one_of(
    st.sampled_from(
        [
            "nan",
            "-inf",
            "1e999",
            "-1",
            "0",
            "1",
            "2",
            "9" * 5000,
            "",
            "0x1",
            "1_0",
            " 1",
        ]
    ),
    st.sampled_from(["x" * 200_000, CONTROL, _chain(12), "1,1,1,0,0;" * 300, "block"]),
    st.sampled_from([*BLOCKS, "1,1,1,0,0", "2,1,1,0,0", "1,4,0,0,0;2,4,0,1,0"]),
    st.text(),
    st.floats().map(repr),
    st.integers().map(str),
)


@settings(
    max_examples=times(2000, 150),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_a_changed_table(tmp_path: Path, data: st.DataObject) -> None:
    cells = [["block", "accuracy_0"], *([block, "0.5"] for block in BLOCKS)]
    row = data.draw(st.sampled_from(cells))
    match data.draw(st.integers(0, 9)):
        case 0:
            cells.remove(row)
        case 1:
            row.append(data.draw(FIELDS))
        case _:
            row[data.draw(st.integers(0, 1))] = data.draw(FIELDS)
    quotes = data.draw(st.sampled_from(['"', '"', '"', "", "'"]))
    lines = (",".join(f"{quotes}{cell}{quotes}" for cell in row) for row in cells)
    content = "\n".join(lines).encode(errors="surrogatepass")
    if data.draw(st.integers(0, 9)) == 0:
        cut = data.draw(st.integers(0, len(content)))
        content = content[:cut] + data.draw(st.binary(max_size=4)) + content[cut:]
    (tmp_path / "x.csv").write_bytes(content)
    attempt(lambda: str(read_oracle(tmp_path / "x.csv", CONFIG, SPEC).rewards.sum()))

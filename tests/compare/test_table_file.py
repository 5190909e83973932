"""Tables of anyone's: read as they are, or refused in one line."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bqnn.compare.table_file import Columns, read_table
from bqnn.errors import DataError
from tests.helpers.fuzzing import CONTROL, attempt
from tests.helpers.thorough import times

COLUMNS = Columns("val", "test", "s")
HEADER = "norm,val,depth,test,s\n"
ROWS = [
    "layer,0.4,2,0.1,7\n",
    "batch,0.1,1,0.4,1\n",
    "batch,0.2,2,0.3,3\n",
    "layer,0.3,1,0.2,5\n",
]


def _write(path: Path, *lines: str) -> Path:
    (path / "x.csv").write_text("".join(lines))
    return path / "x.csv"


def test_columns_are_decisions_and_results(tmp_path: Path) -> None:
    table = read_table(_write(tmp_path, HEADER, *ROWS), COLUMNS)
    assert table.space.num_actions.tolist() == [2, 2]
    np.testing.assert_allclose(table.rewards, [0.1, 0.2, 0.3, 0.4], rtol=1e-6)
    np.testing.assert_allclose(table.true_values, [0.4, 0.3, 0.2, 0.1], rtol=1e-6)
    assert table.seconds.tolist() == [1, 3, 5, 7]


def test_per_cent_and_times_that_are_not_known(tmp_path: Path) -> None:
    path = _write(tmp_path, "a,b,val\n", "x,1,50\n", "x,2,0.5\n", "y,1,2\n", "y,2,3\n")
    table = read_table(path, Columns("val", "val"))
    np.testing.assert_allclose(table.rewards, [0.5, 0.005, 0.02, 0.03], rtol=1e-6)
    np.testing.assert_array_equal(table.rewards, table.true_values)
    assert np.isnan(table.seconds).all()


TABLES = {
    "no rows": ([HEADER], "want rows, with columns of decisions"),
    "no decisions": (["val,test,s\n", "1,1,1\n", "1,1,1\n"], "columns of decisions"),
    "nothing": ([], "want csv with a column val"),
    "other columns": ([HEADER.replace("test", "x"), *ROWS], "no column 'test'"),
    "one value": ([HEADER, *ROWS[1:3]], "column 'norm' has one value"),
    "a row less": ([HEADER, *ROWS[:3]], "lacks 1 of 4 comb.*'norm=layer,depth=1'"),
    "a row twice": ([HEADER, *ROWS, ROWS[0]], "line 6: 'norm=layer,depth=2' is there"),
    "NaN": ([HEADER, *ROWS, "batch,nan,3,0.1,1\n"], "line 6: column 'val' has 'nan'"),
    "a loss": ([HEADER, *ROWS, "batch,1,3,-0.1,1\n"], "'test' has '-0.1': want a num"),
    "endless": ([HEADER, *ROWS, "batch,1,3,0.1,inf\n"], "column 's' has 'inf'"),
    "a value more": ([HEADER, "a,1,1,1,1,1\n"], "line 2: want 5 values"),
    "control": ([HEADER, *ROWS, f"{CONTROL},1,1,1,1\n"], r"lacks 1 of 6.*\\x1b"),
}


@pytest.mark.parametrize("fault", TABLES)
def test_a_table_is_not_believed(fault: str, tmp_path: Path) -> None:
    lines, message = TABLES[fault]
    with pytest.raises(DataError, match=message) as caught:
        read_table(_write(tmp_path, *lines), COLUMNS)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@settings(
    max_examples=times(1000, 50),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_a_changed_table(tmp_path: Path, data: st.DataObject) -> None:
    content = "".join([HEADER, *ROWS]).encode()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    texts = st.sampled_from([b",", b"\n", b'"', b"nan", b"1e999", b"test", b"x" * 9**6])
    change = data.draw(st.one_of(texts, st.binary(max_size=5)))
    (tmp_path / "x.csv").write_bytes(content[:start] + change + content[end:])
    attempt(lambda: str(read_table(tmp_path / "x.csv", COLUMNS).rewards.sum()))

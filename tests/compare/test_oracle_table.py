"""The table of an oracle: it grows row by row, and survives kills."""

from pathlib import Path

import pytest

from bqnn.compare.oracle import CPU, Trained
from bqnn.compare.oracle_table import OracleTable
from bqnn.errors import DataError
from bqnn.evaluation.records import Evaluation, Status
from bqnn.search.problem import make_candidate
from bqnn.space.nsc import parse
from tests.helpers.searches import problem_of, tiny_config

TEXTS = ["1,1,1,0,0;2,7,0,0,0", "1,1,3,0,0;2,7,0,0,0"]
HEADER = (
    "block,params,flops,accuracy_0,accuracy_1,epoch_1_accuracy_0,epoch_1_accuracy_1,"
    "cpu_seconds_0,cpu_seconds_1"
)


def _trained(text: str) -> Trained:
    """Of the two trainings, accuracies after two epochs, and seconds."""
    evaluations = (
        Evaluation(Status.OK, (0.25, 0.5), seconds={CPU: 1.5, "train": 9.0}),
        Evaluation(Status.OK, (1 / 3, 0.75), seconds={CPU: 2.0}),
    )
    candidate = make_candidate(problem_of(tiny_config()), parse(text))
    return Trained(candidate, evaluations)


def _table(folder: Path) -> OracleTable:
    return OracleTable(folder / "x.csv", seeds=2, epochs=2)


def test_a_row_holds_cost_accuracies_and_seconds(tmp_path: Path) -> None:
    trained = _trained(TEXTS[0])
    row = _table(tmp_path).append(trained)
    cost = trained.candidate.network_params, trained.candidate.network_flops
    values = "0.5,0.75,0.25,0.333333,1.500,2.000"
    assert row[1:3] == tuple(map(str, cost))
    assert (tmp_path / "x.csv").read_text() == (
        f'{HEADER}\n"{TEXTS[0]}",{cost[0]},{cost[1]},{values}\n'
    )


def test_what_was_appended_is_read_whatever_a_kill_left(tmp_path: Path) -> None:
    table, path = _table(tmp_path), tmp_path / "x.csv"
    assert table.read(TEXTS) == {}
    first, second = (table.append(_trained(text)) for text in TEXTS)
    whole = path.read_bytes()
    end = whole.index(b"\n", len(HEADER) + 1) + 1
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        done = [first] * (cut >= end) + [second] * (cut == len(whole))
        assert table.read(TEXTS) == {row[0]: row for row in done}
        for text in TEXTS[len(done) :]:
            table.append(_trained(text))
        assert path.read_bytes() == whole
    table.write([second, first])
    assert list(table.read(TEXTS)) == TEXTS[::-1]


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    table, path = _table(tmp_path), tmp_path / "x.csv"
    table.append(_trained(TEXTS[0]))
    with pytest.raises(DataError, match="'1,1,1.*', which this space has not"):
        table.read(TEXTS[1:])
    with pytest.raises(DataError, match="has other columns than block,params,flops,"):
        OracleTable(path, seeds=2, epochs=1).read(TEXTS)
    path.write_text(path.read_text().replace(",0.5,", ",50,"))
    with pytest.raises(DataError, match="accuracy_0 has '50': want a number from 0"):
        table.read(TEXTS)
    with pytest.raises(DataError, match="Is a directory|not a regular file"):
        OracleTable(tmp_path, seeds=2, epochs=2).read(TEXTS)
    with pytest.raises(DataError, match="Is a directory"):
        OracleTable(tmp_path, seeds=2, epochs=2).append(_trained(TEXTS[0]))

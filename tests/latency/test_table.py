"""The table of latencies: names, sums, files; the line that corrects the sums."""

from pathlib import Path

import numpy as np
import pytest

from bqnn.config import SpaceConfig
from bqnn.engines.units import space_signatures, units
from bqnn.errors import DataError
from bqnn.latency import table
from bqnn.latency.check import check, errors
from bqnn.latency.table import LatencyTable, UnitLatency, unit_name
from bqnn.networks.plan import plan
from bqnn.space.nsc import parse
from tests.helpers.blocks import random_blocks
from tests.helpers.networks import SPEC, small

SIGNATURES = space_signatures(SpaceConfig(3), small(), SPEC)
TABLE = LatencyTable(
    "a device",
    {
        unit_name(signature): UnitLatency(n + 1.0, n + 0.5, n + 2.0)
        for n, signature in enumerate(SIGNATURES)
    },
    offset=0.25,
    factor=0.5,
)


def test_every_unit_has_its_own_name() -> None:
    assert len(TABLE.units) == len(SIGNATURES)
    assert "pcc3x4 of 8x8x4" in TABLE.units
    assert "concatx12+pcc1x6 of 4x4x6 4x4x6" in TABLE.units


def test_a_network_takes_what_its_units_take() -> None:
    for block in random_blocks(20, 3):
        network = plan(block, small(), SPEC)
        names = [unit_name(unit.signature) for unit in units(network)]
        total = sum(TABLE.units[name].ms for name in names)
        assert TABLE.total(network) == pytest.approx(total)
        assert TABLE.of(network) == pytest.approx(0.25 + 0.5 * total)


def test_another_network_is_refused() -> None:
    network = plan(parse("1,1,3,0,0"), small(widths=(5, 6, 8)), SPEC)
    with pytest.raises(DataError, match="no 'stem3x5 of 8x8x1': want one of the same"):
        TABLE.of(network)


def test_a_file_holds_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "latency.csv"
    table.write(TABLE, path)
    assert table.read(path) == TABLE
    assert path.read_text().startswith("unit,ms,low,high\ndevice a device,0,0,0\n")
    path.write_text(path.read_text(), encoding="utf-8-sig")  # as spreadsheets do
    assert table.read(path) == TABLE


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("unit,ms", "name,ms", "want the columns unit,ms,low,high"),
        ("device a device,0,0,0\n", "", "want one device"),
        ("(factor)", "(other)", r"want one device, \(offset\) and \(factor\)"),
        ("0.25,0.25,0.25", "0.25,0.25", "line 3: it has 3 columns: want 4"),
        ("0.25,0.25,0.25", "-1,0,0", "line 3 is -1.0: want a number from 0"),
        ("0.25,0.25,0.25", "nan,0,0", "line 3"),
        ("0.25,0.25,0.25", "x,0,0", "line 3 is 'x': want a number"),
        ("a device", "a \x1b[2Jdevice", "line 2.*want the name of a unit"),
        ("(factor)", "(offset)", r"line 4: '\(offset\)' is there twice"),
    ],
)
def test_what_is_no_table_is_one_clear_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "latency.csv"
    table.write(TABLE, path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=message) as error:
        table.read(path)
    assert "\n" not in str(error.value) and "\x1b" not in str(error.value)
    with pytest.raises(DataError, match="No such file"):
        table.read(tmp_path / "nothing.csv")
    path.write_text("")
    with pytest.raises(DataError, match="want the columns"):
        table.read(path)


def test_the_line_is_found() -> None:
    totals = [1.0, 2.0, 3.0, 5.0]
    found = check(totals, [0.5 + 0.25 * total for total in totals])
    assert found.offset == pytest.approx(0.5)
    assert found.factor == pytest.approx(0.25)
    assert errors(found.foretold, found.measured) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert found.ranks.spearman == pytest.approx(1.0)
    assert errors(np.array([1.1, 2.0]), np.array([1.0, 2.0]))[0] == pytest.approx(0.05)


def test_no_network_takes_less_than_nothing() -> None:
    found = check([1.0, 2.0, 4.0], [0.1, 1.0, 3.0])
    assert found.offset == 0.0
    # The smallest sum of squared relative errors: x = sum(r) / sum(r * r).
    ratios = np.array([10.0, 2.0, 4 / 3])
    assert found.factor == pytest.approx(ratios.sum() / (ratios**2).sum())

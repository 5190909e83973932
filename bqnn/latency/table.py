"""Table: the latency of every unit of a space on one device, in a csv file."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bqnn import files
from bqnn.engines.units import Shape, UnitSignature, units
from bqnn.errors import DataError, quote
from bqnn.networks.plan import NetworkPlan, Node
from bqnn.schema import LARGEST_TEXT_FILE, FactError, number, read_at, text, wrong

_COLUMNS = ("unit", "ms", "low", "high")
_DEVICE, _OFFSET, _FACTOR = "device ", "(offset)", "(factor)"
_UNIT = text(r"[ -~]{1,400}", "the name of a unit")
_MS = number(0, 1e9)


class UnitLatency(NamedTuple):
    """The latency of one unit, in milliseconds.

    Attributes:
      ms: the median of several rounds.
      low, high: the fastest and the slowest round.
    """

    ms: float
    low: float
    high: float


class LatencyTable(NamedTuple):
    """Latencies of the units of a space, measured on one device.

    Units are slower alone than within a network, where XLA and ONNX Runtime join some
    of them: what they add up to is corrected by a line.

    Attributes:
      device: what they were measured on.
      units: by the name of the unit (`unit_name`).
      offset, factor: latency of a network = offset, in milliseconds, + factor * sum.
    """

    device: str
    units: Mapping[str, UnitLatency]
    offset: float = 0.0
    factor: float = 1.0

    def of(self, network: NetworkPlan) -> float:
        """Return the latency of a network, in milliseconds.

        Raises:
          DataError: if a unit was not measured.
        """
        return self.offset + self.factor * self.total(network)

    def total(self, network: NetworkPlan) -> float:
        """Add up the units of a network, in milliseconds, without the correction.

        Raises:
          DataError: if a unit was not measured.
        """
        names = [unit_name(unit.signature) for unit in units(network)]
        for name in names:
            if name not in self.units:
                raise DataError(
                    f"the table of latencies has no {quote(name)}: want one of the "
                    "same space, network and images (launch.latency)"
                )
        return sum(self.units[name].ms for name in names)


def unit_name(signature: UnitSignature) -> str:
    """Name a unit by all that decides its programs: `pcc3x16 of 8x8x16`."""
    nodes = "+".join(map(_node_name, signature.nodes))
    return f"{nodes} of {' '.join(map(_shape_name, signature.inputs))}"


def write(table: LatencyTable, path: Path) -> None:
    """Write a table.

    Raises:
      DataError: if the file cannot be written; an old one is intact.
    """
    rows: list[Iterable[Any]] = [_COLUMNS, (_DEVICE + table.device, 0, 0, 0)]
    rows += [(name, value, value, value) for name, value in _line(table).items()]
    rows += [
        (name, *(f"{value:.6g}" for value in table.units[name]))
        for name in sorted(table.units)
    ]
    content = io.StringIO()
    csv.writer(content, lineterminator="\n").writerows(rows)
    try:
        files.write_atomic(path, content.getvalue())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def read(path: Path) -> LatencyTable:
    """Read a table, which others may have written.

    Raises:
      DataError: if the file cannot be read, or is no table of latencies.
    """
    try:
        # Spreadsheets begin a file with a mark of its encoding.
        content = files.read_bytes(path, LARGEST_TEXT_FILE).decode("utf-8-sig")
        rows = [*csv.reader(io.StringIO(content), strict=True)]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path} is no table of latencies: {error}") from error
    if tuple(rows[0] if rows else ()) != _COLUMNS:
        raise DataError(f"{path}: want the columns {','.join(_COLUMNS)}")
    found: dict[str, UnitLatency] = {}
    try:
        for line, row in enumerate(rows[1:], 2):
            name, latency = _row(line, row)
            if name in found:
                raise FactError(f"line {line}: {quote(name)} is there twice")
            found[name] = latency
    except FactError as error:
        raise DataError(f"{path}: {error}") from error
    (device, *others) = [name for name in found if name.startswith(_DEVICE)] or [""]
    if others or not device or not {_OFFSET, _FACTOR} <= found.keys():
        raise DataError(f"{path}: want one device, {_OFFSET} and {_FACTOR}")
    del found[device]
    offset, factor = found.pop(_OFFSET).ms, found.pop(_FACTOR).ms
    return LatencyTable(device.removeprefix(_DEVICE), found, offset, factor)


def _line(table: LatencyTable) -> dict[str, float]:
    return {_OFFSET: table.offset, _FACTOR: table.factor}


def _row(line: int, row: list[str]) -> tuple[str, UnitLatency]:
    where = f"line {line}"
    if len(row) != len(_COLUMNS):
        raise FactError(f"{where}: it has {len(row)} columns: want {len(_COLUMNS)}")
    name = read_at(where, _UNIT, row[0])
    return name, UnitLatency(*(read_at(where, _milliseconds, cell) for cell in row[1:]))


def _milliseconds(cell: str) -> float:
    try:
        return _MS(float(cell))
    except ValueError:
        wrong(cell, "a number")


def _node_name(node: Node) -> str:
    kernel = str(node.kernel) if node.kernel else ""
    stride = f"/{node.stride}" if node.stride > 1 else ""
    return f"{node.op}{kernel}{stride}x{node.channels}"


def _shape_name(shape: Shape) -> str:
    return "x".join(map(str, shape))

"""Tables of what one device does, for the terminal."""

from collections.abc import Sequence

from rich.table import Table

from benchmarks.accelerator import AcceleratorRow
from benchmarks.accelerator_searches import SearchRow
from benchmarks.determinism import DeterminismRow


def engine_table(rows: Sequence[AcceleratorRow]) -> Table:
    """Tabulate engines: a row per candidate, engine and precision."""
    table = Table(title="One candidate at a time; matmul: the rate of large products")
    for name in ("setting", "block", "precision", "engine"):
        table.add_column(name)
    for name in ("ready s", "again s", "ms a step", "images/s", "of matmul", "idle"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.setting,
            row.block,
            row.precision,
            row.engine,
            f"{row.prepared:.2f}",
            f"{row.again:.2f}",
            f"{1e3 * row.step:.2f}",
            f"{row.images_per_second:,.0f}",
            f"{row.used:.1%}",
            "-" if row.idle is None else f"{row.idle:.0%}",
        )
    return table


def search_table(rows: Sequence[SearchRow]) -> Table:
    """Tabulate short searches."""
    table = Table(title="Short searches on one device")
    for name in ("layers", "engine", "workers", "programs"):
        table.add_column(name)
    for name in ("candidates/h", "s before the first trains"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            str(row.search.layers),
            row.search.engine,
            str(row.search.workers),
            "none" if row.search.cold else "kept",
            f"{row.per_hour:,.0f}",
            f"{row.first:.1f}",
        )
    return table


def determinism_table(rows: Sequence[DeterminismRow]) -> Table:
    """Tabulate repeated trainings."""
    table = Table(title="Trained again: where bits first differ")
    for name in ("flags", "engine", *rows[0].differs):
        table.add_column(name)
    table.add_column("ms a step", justify="right")
    for row in rows:
        found = [place or "equal" for place in row.differs.values()]
        table.add_row(row.flags, row.engine, *found, f"{row.milliseconds:.2f}")
    return table

"""Tables of the terminal: columns, rows, and numbers as short text."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import numpy as np
from rich.table import Column, Table
from rich.text import Text

Cell = str | Text


def make_table(
    title: Cell, columns: Sequence[Column | str], rows: Iterable[Sequence[Cell]]
) -> Table:
    """Make a table.

    Args:
      title: above the table, on the left.
      columns: their headings; a string for a column of short text.
      rows: one cell per column.
    """
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    return table


def numbers(*names: str) -> list[Column]:
    """Make columns of numbers: on the right, never wrapped."""
    return [Column(name, justify="right", no_wrap=True) for name in names]


def folded(name: str) -> Column:
    """Make a column of long text, which takes the width that is left and wraps."""
    return Column(name, overflow="fold", ratio=1)


def percent(value: float | None) -> str:
    """Write a share with two digits, `-` for none and NaN."""
    return "-" if value is None or np.isnan(value) else f"{value:.2%}"


def si(value: int) -> str:
    """Write a count with three digits and a prefix: 36.9 k, 1.2 M."""
    for power, prefix in enumerate(("", " k", " M", " G", " T")):
        if value < 999.5 * 1000**power:
            return f"{value / 1000**power:.3g}{prefix}"
    # With native widths, some networks have more parameters than a float holds.
    return f"{Decimal(value).normalize():.3g}"


def duration(seconds: float) -> str:
    """Write a duration as hours, minutes and seconds: `1:02:03` or `2:03`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"

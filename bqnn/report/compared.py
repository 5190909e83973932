"""Comparison of agents: its table and figure, and both as csv."""

import csv
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Column, Table
from rich.text import Text

from bqnn.compare.comparison import Entry
from bqnn.compare.statistics import AgentSummary, Course, Searches, best_so_far
from bqnn.errors import DataError
from bqnn.report.foreign import foreign, literal
from bqnn.report.palette import LINES
from bqnn.report.table import make_table, numbers
from bqnn.stats import Floats, Mean, mean

X_AXES = {
    "evaluations": "evaluations",
    "trained": "different blocks trained",
    "seconds": "seconds of training",
}
"""What a curve may be drawn against: columns of its csv, and their names."""

_STYLES = ("-", "--", "-.", ":")
_LETTERS_PER_INCH, _LEGEND_HANDLE = 14, 8
"""What fits into a legend: letters, of which a line beside its label takes some."""

_SKIPPED = 0.1
"""Share of the first evaluations that the figure leaves out."""


def summaries(rows: Sequence[AgentSummary], title: str, what: str) -> Table:
    """Tabulate the results of agents.

    Args:
      rows: one per agent and budget.
      title: of the table.
      what: name of the reported value, a heading.
    """
    counts, results = ("evaluations", "trained"), (f"{what}, %", "95 % interval")
    columns = *counts, *results, "regret", "to target", "best found"
    table = make_table(
        foreign(title),
        [Column("agent", overflow="fold"), *numbers(*columns)],
        map(_cells, rows),
    )
    for index, (row, following) in enumerate(itertools.pairwise(rows)):
        table.rows[index].end_section = row.budget != following.budget
    return table


def _cells(row: AgentSummary) -> tuple[str | Text, ...]:
    average, (low, high) = row.true_value
    return (
        foreign(row.label),
        str(row.budget),
        f"{row.trained:.4g}",
        f"{100 * average:.2f}",
        f"{100 * low:.2f} to {100 * high:.2f}",
        "-" if row.regret is None else f"{100 * row.regret:.2f}",
        _needed(row),
        "-" if row.found is None else f"{row.found:.1%}",
    )


def _needed(row: AgentSummary) -> str:
    if row.needed is None:
        return "-"
    median = f"{row.needed:g}" if math.isfinite(row.needed) else f"> {row.budget}"
    return f"{median} ({row.reached:.0%})"


def save_figure(
    entries: Sequence[Entry],
    x: str,
    what: str,
    title: str,
    path: Path,
    course: Course = best_so_far,
) -> None:
    """Draw what was found against what was spent, a panel for each budget.

    Args:
      entries: the searches.
      x: one of `X_AXES`.
      what: name of what is drawn.
      title: above the figure.
      path: of the picture; its ending names the format.
      course: what is drawn.

    Raises:
      DataError: if it cannot be written.
    """
    budgets = sorted({entry.budget for entry in entries})
    figure = Figure((1.2 + 3.6 * len(budgets), 4.2), dpi=150, layout="constrained")
    figure.suptitle(literal(title))
    panels = figure.subplots(1, len(budgets), squeeze=False)[0]
    for axes, budget in zip(panels, budgets, strict=True):
        curves = {
            entry.contender.label: _curve(entry.searches, x, course)
            for entry in entries
            if entry.budget == budget
        }
        draw_curves(axes, curves)
        axes.set_xlabel(X_AXES[x])
        axes.locator_params(axis="x", nbins=5)  # seconds have many digits
        axes.set_title(f"{budget} evaluations", fontsize=10)
    panels[0].set_ylabel(f"{what}, %")
    handles, labels = panels[0].get_legend_handles_labels()
    longest = max(map(len, labels)) + _LEGEND_HANDLE
    fit = int(figure.get_figwidth() * _LETTERS_PER_INCH) // longest
    legend = {"ncols": max(1, min(4, fit)), "frameon": False}
    figure.legend(handles, labels, loc="outside lower center", **legend)
    try:
        figure.savefig(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error


def draw_curves(axes: Axes, curves: Mapping[str, tuple[Floats, Mean]]) -> None:
    """Draw curves, their intervals as bands.

    Args:
      axes: to draw on.
      curves: what was spent and fractions, float64 `[N]` both, by label.
    """
    styles = zip(itertools.cycle(LINES), itertools.cycle(_STYLES), strict=False)
    for (label, curve), (colour, line) in zip(curves.items(), styles, strict=False):
        spent, (value, (low, high)) = curve
        middle, low, high = (100 * np.asarray(x) for x in (value, low, high))
        first = int(_SKIPPED * len(middle))
        steps = spent[first:]
        axes.fill_between(steps, low[first:], high[first:], color=colour, alpha=0.2)
        axes.plot(
            steps,
            middle[first:],
            line,
            color=colour,
            label=literal(label),
            linewidth=1.4,
        )
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _curve(searches: Searches, x: str, course: Course) -> tuple[Floats, Mean]:
    return _spent(searches)[x], mean(course(searches))


def _spent(searches: Searches) -> dict[str, Floats]:
    """Average what was spent after every evaluation, float64 `[N]` by `X_AXES`."""
    return {
        "evaluations": np.arange(1.0, searches.rewards.shape[1] + 1),
        "trained": searches.trained.mean(axis=0),
        "seconds": searches.seconds.mean(axis=0),
    }


def save_summaries(rows: Sequence[AgentSummary], path: Path) -> None:
    """Write the results of agents as csv: fractions and counts.

    Raises:
      DataError: if it cannot be written.
    """
    header = (
        *("agent", "evaluations", "seeds", "mean", "low", "high", "regret"),
        *("evaluations_to_target", "reached_target", "found_best"),
        *("trained", "seconds"),
    )
    _write(
        path,
        header,
        [
            (*row[:3], row.true_value.value, *row.true_value.interval, *row[4:])
            for row in rows
        ],
    )


def save_curves(
    entries: Sequence[Entry], path: Path, course: Course = best_so_far
) -> None:
    """Write what was found after every evaluation, and what was spent, as csv.

    Args:
      entries: the searches.
      path: of the file.
      course: what is written; the best so far if it is not given.

    Raises:
      DataError: if it cannot be written.
    """
    rows = []
    for entry in entries:
        value, (low, high) = mean(course(entry.searches))
        spent = _spent(entry.searches)
        columns = value, low, high, spent["trained"], spent["seconds"]
        for number, values in enumerate(zip(*columns, strict=True), 1):
            rows.append((entry.contender.label, entry.budget, number, *values))
    header = "agent", "budget", "evaluations", "mean", "low", "high"
    _write(path, (*header, "trained", "seconds"), rows)


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(map(_written, row) for row in rows)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error


def _written(value: object) -> object:
    """Write a number with six digits, and nothing for one that is not known."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value

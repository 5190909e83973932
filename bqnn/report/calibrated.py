"""Calibration: tables of what foretells final accuracy, and the paper's figure 6."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from rich.console import Group, RenderableType

from bqnn.errors import DataError
from bqnn.final.calibrate import Calibration, TermRow
from bqnn.report.palette import LINES
from bqnn.report.table import make_table, numbers

_MEASURES = {
    "accuracy": "early accuracy",
    "paper": "the paper's reward",
    "learned": "learned reward",
}
_MARKS = {"accuracy": "o-", "paper": "s--", "learned": "^-."}


def calibration_tables(found: Calibration) -> RenderableType:
    """Tabulate how measures rank blocks, and what each term tells."""
    count = len(found.trained)
    ranks = make_table(
        f"Rank correlation with the final accuracy of {count} blocks",
        ["early measure", *numbers("Spearman", "95 % interval", "Kendall")],
        (
            (
                _MEASURES[name],
                f"{c.spearman:.3f}",
                f"{c.interval.low:.3f} to {c.interval.high:.3f}",
                f"{c.kendall:.3f}",
            )
            for name, c in found.correlations.items()
        ),
    )
    columns = "worth", "95 % interval", "error with it", "without it"
    terms = make_table(
        "Terms: what one deviation is worth, in points of final accuracy",
        ["term", "fitted", *numbers(*columns)],
        map(_term_cells, found.terms),
    )
    note = (
        "The learned reward of a block, and the errors, are by a fit to the other "
        "blocks. A term that helps makes the error smaller."
    )
    return Group(ranks, terms, note, *_warnings(found))


def draw_measures(axes: Axes, found: Calibration) -> Axes:
    """Draw early accuracy, rewards and final accuracy of the same blocks.

    The paper's figure 6. Blocks stand in the order of their final accuracy, so a
    measure that ranks well rises.

    Args:
      axes: to draw on.
      found: the calibration.

    Returns:
      The axes.
    """
    order = np.arange(1, len(found.final) + 1)
    axes.plot(
        order, found.final, "-", color="black", linewidth=2.2, label="final accuracy"
    )
    for (name, values), colour in zip(found.measures.items(), LINES, strict=False):
        rank = found.correlations[name].spearman
        axes.plot(
            order,
            values,
            _MARKS[name],
            color=colour,
            markersize=4,
            linewidth=1.2,
            label=f"{_MEASURES[name]} (Spearman {rank:.2f})",
        )
    axes.set(xlabel="block, by final accuracy", ylabel="accuracy, reward")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return axes


def save_figure(found: Calibration, path: Path) -> None:
    """Draw the measures into a file.

    Raises:
      DataError: if it cannot be written.
    """
    figure = Figure((7.2, 4.8), dpi=150, layout="constrained")
    draw_measures(figure.subplots(), found)
    try:
        figure.savefig(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error


def _warnings(found: Calibration) -> list[str]:
    fitted = dict(zip(found.fit.terms, found.fit.weights, strict=True))
    if fitted["accuracy"] > 0:
        return []
    return [
        "Early accuracy foretells nothing here, and has no weight: train longer in the "
        "search, or more blocks in full, before a search by these weights."
    ]


def _term_cells(row: TermRow) -> tuple[str, ...]:
    return (
        row.name,
        "yes" if row.fitted else "no",
        f"{100 * row.effect:+.2f}",
        f"{100 * row.low:+.2f} to {100 * row.high:+.2f}",
        f"{100 * row.error:.2f}",
        f"{100 * row.error_without:.2f}",
    )

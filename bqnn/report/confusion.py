"""Picture of a confusion matrix: images by class and by predicted class."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from bqnn.errors import ConfigError
from bqnn.report.foreign import literal

# One hue from light to dark, readable in grey.
_COLOURS = matplotlib.colormaps["Blues"]
# Mistakes are few: a square root keeps them darker than zero.
_NORM = PowerNorm(0.5, 0, 1)
_TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1)
_MOST_COUNTS, _MOST_NAMES, _LONGEST_NAME = 20, 40, 20
_CELL, _LARGEST = 0.45, 11.0  # inches
_PIXELS = 2  # of a cell, at least


def draw_confusion(
    axes: Axes, confusion: NDArray[np.int64], class_names: Sequence[str]
) -> AxesImage:
    """Draw a confusion matrix: colours are shares of a row, numbers are images.

    Few classes have their numbers in the cells and their names on the axes; many have
    their indices on the axes.

    Args:
      axes: to draw on.
      confusion: number of images by class and predicted class, int64 `[K, K]`.
      class_names: names of the K classes.

    Returns:
      The image, for a colour bar.
    """
    totals = np.maximum(1, confusion.sum(axis=1, keepdims=True))
    parts = confusion / totals
    image = axes.imshow(parts, cmap=_COLOURS, norm=_NORM, interpolation="nearest")
    axes.set(xlabel="taken for", ylabel="class")
    if len(confusion) <= _MOST_NAMES:
        _write_names(axes, class_names)
    else:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(10, integer=True))
    if len(confusion) <= _MOST_COUNTS:
        _write_counts(axes, confusion, parts)
    return image


def save_confusion(
    confusion: NDArray[np.int64], class_names: Sequence[str], title: str, path: Path
) -> None:
    """Draw a confusion matrix to a file.

    Raises:
      ConfigError: if it cannot be written.
    """
    side = min(max(4.0, 2 + _CELL * len(confusion)), _LARGEST)
    figure = Figure((side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    image = draw_confusion(axes, confusion, class_names)
    axes.set_title(literal(title))
    bar = figure.colorbar(image, ax=axes, shrink=0.8, ticks=_TICKS)
    bar.set_label("part of the class's images")
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, 0))
    # Labels and colour bar take the rest.
    dpi = max(120, round(_PIXELS * len(confusion) / (0.75 * side)))
    try:
        figure.savefig(path, dpi=dpi)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error}") from error


def _write_names(axes: Axes, class_names: Sequence[str]) -> None:
    names = [literal(_shortened(name)) for name in class_names]
    ticks = range(len(names))
    upright = max(map(len, names)) * len(names) <= _MOST_NAMES
    axes.set_xticks(ticks, names, rotation=0 if upright else 90)
    axes.set_yticks(ticks, names)


def _write_counts(
    axes: Axes, confusion: NDArray[np.int64], parts: NDArray[np.float64]
) -> None:
    for row, column in np.argwhere(confusion):
        dark = float(_NORM(parts[row, column])) > 0.5
        axes.text(
            column,
            row,
            str(confusion[row, column]),
            ha="center",
            va="center",
            color="white" if dark else "black",
            fontsize="small",
        )


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"

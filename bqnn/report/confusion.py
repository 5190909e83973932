"""Confusion: picture of a confusion matrix, images by class and predicted class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from bqnn.errors import ConfigError
from bqnn.report.foreign import literal

_COLOURS = "Blues"  # one hue from light to dark: readable in grey
# Mistakes are rare. The square root of their share makes them visible.
_NORM = PowerNorm(0.5, 0, 1)
_TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1)
_MOST_COUNTS, _MOST_NAMES = 20, 40  # classes
_LONGEST_NAME = 20  # characters
_CELL, _LARGEST = 0.45, 11.0  # sides of a cell and of the matrix, in inches
_PIXELS = 2  # least side of a cell


def draw_confusion(
    axes: Axes, confusion: NDArray[np.int64], class_names: Sequence[str]
) -> AxesImage:
    """Draw a confusion matrix; the colour of a cell is its share of its row.

    Up to 20 classes, cells also show numbers of images. Above 40 classes, the axes show
    indices instead of names.

    Args:
      axes: the axes to draw on.
      confusion: number of images by class and predicted class, int64 `[K, K]`.
      class_names: names of the K classes.

    Returns:
      The image, for a colour bar.
    """
    shares = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    image = axes.imshow(shares, cmap=_COLOURS, norm=_NORM, interpolation="nearest")
    axes.set(xlabel="taken for", ylabel="class")
    if len(confusion) <= _MOST_NAMES:
        _write_names(axes, class_names)
    else:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(10, integer=True))
    if len(confusion) <= _MOST_COUNTS:
        _write_counts(axes, confusion, shares)
    return image


def save_confusion(
    confusion: NDArray[np.int64], class_names: Sequence[str], title: str, path: Path
) -> None:
    """Draw a confusion matrix to a file.

    Args:
      confusion: number of images by class and predicted class, int64 `[K, K]`.
      class_names: names of the K classes.
      title: title of the picture.
      path: the file; its suffix is the format.

    Raises:
      ConfigError: if the file cannot be written.
    """
    side = min(max(4.0, 2 + _CELL * len(confusion)), _LARGEST)
    figure = Figure((side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    image = draw_confusion(axes, confusion, class_names)
    axes.set_title(literal(title))
    bar = figure.colorbar(image, ax=axes, shrink=0.8, ticks=_TICKS)
    bar.set_label("part of the class's images")
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, 0))
    # The matrix takes three quarters of the side; labels and colour bar take the rest.
    dpi = max(120, round(_PIXELS * len(confusion) / (0.75 * side)))
    try:
        figure.savefig(path, dpi=dpi)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error}") from error


def _write_names(axes: Axes, class_names: Sequence[str]) -> None:
    most = _LONGEST_NAME
    names = [n if len(n) <= most else f"{n[: most - 1]}…" for n in class_names]
    names = [literal(name) for name in names]
    ticks = range(len(names))
    horizontal = max(map(len, names)) * len(names) <= _MOST_NAMES
    axes.set_xticks(ticks, names, rotation=0 if horizontal else 90)
    axes.set_yticks(ticks, names)


def _write_counts(
    axes: Axes, confusion: NDArray[np.int64], shares: NDArray[np.float64]
) -> None:
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": "small"}
    for row, column in np.argwhere(confusion):
        colour = "white" if _NORM(shares[row, column]) > 0.5 else "black"
        axes.text(column, row, str(confusion[row, column]), color=colour, **style)

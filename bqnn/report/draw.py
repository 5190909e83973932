"""Drawings of a block as a graph, in the manner of the paper's figure 9."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from bqnn.errors import ConfigError
from bqnn.nsc import Block, LayerType
from bqnn.report.layout import block_edges, layout, operation

# Okabe and Ito's palette, distinguishable for colour-blind readers.
COLOURS = {
    LayerType.CONVOLUTION: "#56B4E9",
    LayerType.MAX_POOLING: "#E69F00",
    LayerType.AVERAGE_POOLING: "#F0E442",
    LayerType.IDENTITY: "#DDDDDD",
    LayerType.ADD: "#009E73",
    LayerType.CONCAT: "#CC79A7",
}
_ENDS_COLOUR = "#FFFFFF"
_ROW_HEIGHT, _COLUMN_WIDTH = 0.75, 1.5  # inches
_BOX = (1.0, 0.5)


def draw_block(axes: Axes, block: Block) -> None:
    """Draw `block` into `axes`: input on top, output at the bottom."""
    centres, edges = layout(block)
    for edge in edges:
        (*_, (x, y)) = edge
        # End on the box's upper side, where the arrow's head can be seen.
        points = [*edge[:-1], (x, y - _BOX[1] / 2)]
        for start, end in zip(points, points[1:], strict=False):
            axes.annotate(
                "",
                xy=end,
                xytext=start,
                arrowprops={
                    "arrowstyle": "-|>" if end is points[-1] else "-",
                    "color": "#444444",
                    "shrinkA": 0,
                    "shrinkB": 0,
                },
                zorder=1,
            )
    for (x, y), (label, colour) in zip(centres, _boxes(block), strict=True):
        axes.add_patch(
            FancyBboxPatch(
                (x - _BOX[0] / 2, y - _BOX[1] / 2),
                *_BOX,
                boxstyle="round,pad=0,rounding_size=0.1",
                facecolor=colour,
                edgecolor="#222222",
                zorder=2,
            )
        )
        axes.text(x, y, label, ha="center", va="center", fontsize=8, zorder=3)
    xs, ys = zip(*(point for edge in edges for point in edge), strict=True)
    axes.set_xlim(min(xs) - 0.7, max(xs) + 0.7)
    axes.set_ylim(max(ys) + 0.5, min(ys) - 0.5)
    axes.set_axis_off()


def to_dot(block: Block) -> str:
    """Write the block's graph in the DOT language of Graphviz."""
    boxes = [
        f'  {node} [label="{" ".join(label.split())}", fillcolor="{colour}"];'
        for node, (label, colour) in enumerate(_boxes(block))
    ]
    edges = [f"  {source} -> {target};" for source, target in block_edges(block)]
    head = ["digraph block {", '  node [shape=box, style="rounded,filled"];']
    return "\n".join([*head, *boxes, *edges, "}"]) + "\n"


def save(block: Block, path: Path) -> None:
    """Draw `block` to a file whose suffix says how: .svg, .png or .dot.

    Raises:
      ConfigError: for another suffix, or if the file cannot be written.
    """
    writer = _WRITERS.get(path.suffix)
    if writer is None:
        raise ConfigError(
            f"{path}: want a file name that ends in {', '.join(_WRITERS)}"
        )
    try:
        writer(block, path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error}") from error


def _boxes(block: Block) -> list[tuple[str, str]]:
    """Label and colour of the input, the layers and the output."""
    layers = [
        (f"{layer.index}: {operation(layer)}".replace(" pool", "\npool"), layer.type)
        for layer in block.layers
    ]
    boxes = [(label, COLOURS[LayerType(kind)]) for label, kind in layers]
    output = "Output" if len(block.sinks) == 1 else "Output (concat)"
    return [("Input", _ENDS_COLOUR), *boxes, (output, _ENDS_COLOUR)]


def _save_figure(block: Block, path: Path) -> None:
    centres, edges = layout(block)
    xs = [x for edge in edges for x, _ in edge]
    width = (max(xs) - min(xs) + 1.4) * _COLUMN_WIDTH
    figure = Figure((width, (centres[-1][1] + 1) * _ROW_HEIGHT))
    axes = figure.add_axes((0, 0, 1, 1))
    draw_block(axes, block)
    # Text stays text, and the same block gives the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bqnn"}):
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, dpi=150, metadata=metadata)


def _save_dot(block: Block, path: Path) -> None:
    path.write_text(to_dot(block), encoding="utf-8")


_WRITERS: dict[str, Callable[[Block, Path], None]] = {
    ".svg": _save_figure,
    ".png": _save_figure,
    ".dot": _save_dot,
}

"""Drawings of blocks and networks as graphs, in the manner of the paper's figure 9."""

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from numpy.typing import NDArray

from bqnn.errors import ConfigError
from bqnn.nsc import Block, LayerType
from bqnn.plan import NetworkPlan, Node
from bqnn.report.layout import Layout, block_edges, layout, operation

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
_STAGE_COLOUR = "#D5E8F5"
# What stands outside the stages of a network, by operation.
_PARTS = {
    "input": ("Image", _ENDS_COLOUR),
    "stem": ("Stem: conv", COLOURS[LayerType.CONVOLUTION]),
    "max_pool": ("Max pooling", COLOURS[LayerType.MAX_POOLING]),
    "concat": ("Concat", COLOURS[LayerType.CONCAT]),
    "pcc": ("Convolution", COLOURS[LayerType.CONVOLUTION]),
    "head": ("Head: logits", _ENDS_COLOUR),
}
_ROW_HEIGHT, _COLUMN_WIDTH = 0.75, 1.5  # inches
_BOX = (1.0, 0.5)


class Drawing(NamedTuple):
    """A graph to draw.

    Attributes:
      boxes: label and colour of every node, the first on top.
      edges: (from, to), places of boxes.
      layout: where they go.
    """

    boxes: tuple[tuple[str, str], ...]
    edges: tuple[tuple[int, int], ...]
    layout: Layout


def block_drawing(block: Block) -> Drawing:
    """Lay a block out: input on top, output at the bottom."""
    return Drawing(tuple(_boxes(block)), tuple(block_edges(block)), layout(block))


def network_drawing(network: NetworkPlan) -> Drawing:
    """Lay a network out as a chain: a box per stage, and what is between them."""
    groups = itertools.groupby(network.nodes, lambda node: node.stage or node.name)
    boxes = tuple(_part([*nodes]) for _, nodes in groups)
    centres = tuple((0.0, float(row)) for row in range(len(boxes)))
    pairs = tuple(itertools.pairwise(range(len(boxes))))
    lines = tuple((centres[a], centres[b]) for a, b in pairs)
    return Drawing(boxes, pairs, Layout(centres, lines))


def draw(axes: Axes, drawing: Drawing) -> None:
    """Draw a graph into `axes`."""
    centres, lines = drawing.layout
    for line in lines:
        _draw_arrow(axes, line)
    for (x, y), (label, colour) in zip(centres, drawing.boxes, strict=True):
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
    xs, ys = zip(*(point for line in lines for point in line), strict=True)
    axes.set_xlim(min(xs) - 0.7, max(xs) + 0.7)
    axes.set_ylim(max(ys) + 0.5, min(ys) - 0.5)
    axes.set_axis_off()


def to_dot(drawing: Drawing) -> str:
    """Write a graph in the DOT language of Graphviz."""
    boxes = [
        f'  {node} [label="{" ".join(label.split())}", fillcolor="{colour}"];'
        for node, (label, colour) in enumerate(drawing.boxes)
    ]
    edges = [f"  {source} -> {target};" for source, target in drawing.edges]
    head = ["digraph block {", '  node [shape=box, style="rounded,filled"];']
    return "\n".join([*head, *boxes, *edges, "}"]) + "\n"


def to_svg(drawing: Drawing) -> str:
    """Write a graph as SVG: text stays text, the same graph gives the same bytes."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bqnn"}):
        _figure(drawing).savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def to_pixels(drawing: Drawing) -> NDArray[np.uint8]:
    """Draw a graph as an image.  # [H, W, 3]."""
    canvas = FigureCanvasAgg(_figure(drawing))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def save(drawing: Drawing, path: Path) -> None:
    """Draw to a file whose suffix says how: .svg, .png or .dot.

    Raises:
      ConfigError: for another suffix, or if the file cannot be written.
    """
    writer = _WRITERS.get(path.suffix)
    if writer is None:
        raise ConfigError(
            f"{path}: want a file name that ends in {', '.join(_WRITERS)}"
        )
    try:
        writer(drawing, path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error}") from error


def _draw_arrow(axes: Axes, line: tuple[tuple[float, float], ...]) -> None:
    """Draw a polyline that ends on a box's upper side, where its head is seen."""
    (*before, (x, y)) = line
    points = [*before, (x, y - _BOX[1] / 2)]
    for start, end in itertools.pairwise(points):
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


def _boxes(block: Block) -> list[tuple[str, str]]:
    """Label and colour of the input, the layers and the output."""
    layers = [
        (f"{layer.index}: {operation(layer)}".replace(" pool", "\npool"), layer.type)
        for layer in block.layers
    ]
    boxes = [(label, COLOURS[LayerType(kind)]) for label, kind in layers]
    output = "Output" if len(block.sinks) == 1 else "Output (concat)"
    return [("Input", _ENDS_COLOUR), *boxes, (output, _ENDS_COLOUR)]


def _part(nodes: list[Node]) -> tuple[str, str]:
    """Label and colour of one part of a network: a stage, or a node outside them."""
    last = nodes[-1]
    shape = f"{last.height}x{last.width}x{last.channels}"
    if last.stage:
        return f"{last.repeat} x block\n{shape}", _STAGE_COLOUR
    title, colour = _PARTS[last.op]
    window = f" {last.kernel}x{last.kernel}" if last.kernel else ""
    return f"{title}{window}\n{shape}", colour


def _figure(drawing: Drawing) -> Figure:
    centres, lines = drawing.layout
    xs = [x for line in lines for x, _ in line]
    width = (max(xs) - min(xs) + 1.4) * _COLUMN_WIDTH
    figure = Figure((width, (centres[-1][1] + 1) * _ROW_HEIGHT))
    draw(figure.add_axes((0, 0, 1, 1)), drawing)
    return figure


def _save_svg(drawing: Drawing, path: Path) -> None:
    path.write_text(to_svg(drawing), encoding="utf-8")


def _save_png(drawing: Drawing, path: Path) -> None:
    _figure(drawing).savefig(path, dpi=150)


def _save_dot(drawing: Drawing, path: Path) -> None:
    path.write_text(to_dot(drawing), encoding="utf-8")


_WRITERS: dict[str, Callable[[Drawing, Path], None]] = {
    ".svg": _save_svg,
    ".png": _save_png,
    ".dot": _save_dot,
}

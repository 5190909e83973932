"""Drawings of blocks and networks as graphs, in the style of the paper."""

import io
import itertools
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Curve
from numpy.typing import NDArray

from bqnn.config.network import WIRINGS
from bqnn.errors import ConfigError
from bqnn.layer_types import TYPES
from bqnn.networks.nodes import WIRING, NetworkPlan, Node
from bqnn.report.layout import (
    BOX,
    Layout,
    Point,
    block_edges,
    graph_layout,
    layout,
    operation,
)
from bqnn.space.nsc import Block

_ENDS_COLOUR = "#FFFFFF"
_STAGE_COLOUR = "#D5E8F5"
# Boxes of a network outside its stages, by operation.
_PARTS = {
    "input": ("Image", _ENDS_COLOUR),
    "stem": ("Stem: conv", TYPES[1].colour),
    **{kind.op: (kind.title, kind.colour) for kind in TYPES.values()},
    "head": ("Head: logits", _ENDS_COLOUR),
}
_ROW_HEIGHT, _COLUMN_WIDTH = 0.95, 1.5  # inches
_FEW = 6  # blocks of a stage that are drawn one by one


class Drawing(NamedTuple):
    """A graph to draw.

    Attributes:
      boxes: label and colour of every node, the first on top.
      edges: (from, to), indices of boxes.
      layout: positions of boxes and lines of edges.
    """

    boxes: tuple[tuple[str, str], ...]
    edges: tuple[tuple[int, int], ...]
    layout: Layout

    def _repr_svg_(self) -> str:
        """Show the graph in a notebook."""
        return to_svg(self)


def block_drawing(block: Block) -> Drawing:
    """Lay a block out: input on top, output at the bottom.

    >>> drawing = bqnn.draw(bqnn.parse("1,1,3,0,0"))
    >>> svg = to_svg(drawing)  # a notebook shows the drawing itself
    """
    return Drawing(tuple(_boxes(block)), tuple(block_edges(block)), layout(block))


def network_drawing(network: NetworkPlan) -> Drawing:
    """Lay a network out: a box per stage, and the layers between stages.

    Where the blocks of a stage are no chain, each has a box of its own, unless they are
    many.
    """
    by_block = _wiring(network.nodes) and max(n.repeat for n in network.nodes) <= _FEW
    parts: dict[Hashable, list[Node]] = {}
    box_of: list[Hashable] = []
    for node in network.nodes:
        box_of.append(_place(node) if by_block else node.stage or node.name)
        parts.setdefault(box_of[-1], []).append(node)
    numbers = {place: number for number, place in enumerate(parts)}
    edges = {
        (numbers[box_of[source]], numbers[place])
        for node, place in zip(network.nodes, box_of, strict=True)
        for source in node.inputs
        if box_of[source] != place
    }
    ordered = tuple(sorted(edges, key=lambda edge: edge[::-1]))
    boxes = tuple(map(_part, parts.values()))
    return Drawing(boxes, ordered, graph_layout(len(boxes), ordered))


def draw(axes: Axes, drawing: Drawing) -> Axes:
    """Draw a graph into `axes`, and return them."""
    centres, lines = drawing.layout
    for line in lines:
        axes.add_patch(_arrow(line))
    for (x, y), (label, colour) in zip(centres, drawing.boxes, strict=True):
        axes.add_patch(
            FancyBboxPatch(
                (x - BOX[0] / 2, y - BOX[1] / 2),
                *BOX,
                boxstyle="round,pad=0,rounding_size=0.1",
                facecolor=colour,
                edgecolor="#222222",
                zorder=2,
            )
        )
        axes.text(x, y, label, ha="center", va="center", fontsize=8, zorder=3)
    left, right = _sides(drawing)
    axes.set_xlim(left, right)
    axes.set_ylim(centres[-1][1] + 0.4, -0.4)
    axes.set_axis_off()
    return axes


def figure(drawing: Drawing) -> Figure:
    """Draw a graph into a figure of its own, large enough to read."""
    left, right = _sides(drawing)
    rows = drawing.layout.centres[-1][1] + 0.8
    made = Figure(((right - left) * _COLUMN_WIDTH, rows * _ROW_HEIGHT))
    draw(made.add_axes((0, 0, 1, 1)), drawing)
    return made


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
    """Write a graph as SVG; text stays text, and equal graphs give equal bytes."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bqnn"}):
        figure(drawing).savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def to_pixels(drawing: Drawing) -> NDArray[np.uint8]:
    """Draw a graph as an image, uint8 `[H, W, 3]`."""
    canvas = FigureCanvasAgg(figure(drawing))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def save(drawing: Drawing, path: Path) -> None:
    """Draw to a file in the format of its suffix: .svg, .png or .dot.

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


def _arrow(line: tuple[Point, ...]) -> FancyArrowPatch:
    """Draw an edge: upright where it meets a row, curved in between.

    All curves have one shape, so they cross no more often than straight lines.
    """
    points, codes = [line[0]], [Curve.MOVETO]
    for (x, y), (to_x, to_y) in itertools.pairwise(line):
        middle = (y + to_y) / 2
        points += [(x, middle), (to_x, middle), (to_x, to_y)]
        codes += [Curve.CURVE4] * 3
    return FancyArrowPatch(
        path=Curve(points, codes),
        arrowstyle="-|>",
        mutation_scale=8,
        shrinkA=0,
        shrinkB=0,
        facecolor="#444444",
        edgecolor="#444444",
        zorder=1,
    )


def _sides(drawing: Drawing) -> tuple[float, float]:
    """Return the left and right end of a drawing."""
    boxes = [x for x, _ in drawing.layout.centres]
    lanes = [x for line in drawing.layout.edges for x, _ in line]
    left = min(min(boxes) - BOX[0] / 2, *lanes)
    right = max(max(boxes) + BOX[0] / 2, *lanes)
    return left - 0.1, right + 0.1


def _boxes(block: Block) -> list[tuple[str, str]]:
    """Label and colour of the input, the layers and the output."""
    layers = [
        (
            f"{layer.index}: {operation(layer)}".replace(" pool", "\npool").replace(
                " conv", "\nconv"
            ),
            layer.type,
        )
        for layer in block.layers
    ]
    boxes = [(label, TYPES[kind].colour) for label, kind in layers]
    output = "Output" if len(block.sinks) == 1 else "Output (concat)"
    if block.wiring:
        output += f",\n{WIRINGS[block.wiring]}"
    return [("Input", _ENDS_COLOUR), *boxes, (output, _ENDS_COLOUR)]


def _wiring(nodes: Iterable[Node]) -> str:
    """Name how blocks are connected; empty for a chain."""
    ops = {node.op for node in nodes if node.layer == WIRING}
    return "residual" if "add" in ops else "dense" if ops else ""


def _place(node: Node) -> Hashable:
    """Tell boxes apart: a block, the addition after it, or a node outside stages."""
    if not node.stage:
        return node.name
    return node.stage, node.repeat, "_residual" in node.name


def _part(nodes: list[Node]) -> tuple[str, str]:
    """Label and colour of a part of a network: a stage, a block, a node outside."""
    last = nodes[-1]
    shape = f"{last.height}x{last.width}x{last.channels}"
    if last.stage and not all(node.layer == WIRING for node in nodes):
        blocks, wiring = last.repeat - nodes[0].repeat + 1, _wiring(nodes)
        many = f"{blocks} x block, {wiring}" if wiring else f"{blocks} x block"
        title = "Concat, block" if wiring and blocks == 1 else many
        return f"{title}\n{shape}", _STAGE_COLOUR
    title, colour = _PARTS[last.op]
    window = f" {last.kernel}x{last.kernel}" if last.kernel else ""
    return f"{title}{window}\n{shape}", colour


def _save_svg(drawing: Drawing, path: Path) -> None:
    path.write_text(to_svg(drawing), encoding="utf-8")


def _save_png(drawing: Drawing, path: Path) -> None:
    figure(drawing).savefig(path, dpi=150)


def _save_dot(drawing: Drawing, path: Path) -> None:
    path.write_text(to_dot(drawing), encoding="utf-8")


_WRITERS: dict[str, Callable[[Drawing, Path], None]] = {
    ".svg": _save_svg,
    ".png": _save_png,
    ".dot": _save_dot,
}

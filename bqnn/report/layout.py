"""Layout of a drawing: layered, the input on top, the output at the bottom.

Sugiyama, Tagawa and Toda, *Methods for visual understanding of hierarchical system
structures*, 1981: longest-path ranks, a bend where an edge passes a rank, orders by the
barycentre of neighbours, then coordinates near the neighbours' mean.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn.layer_types import TYPES
from bqnn.space.nsc import Block, Layer

Point = tuple[float, float]
BOX = (1.0, 0.4)
"""Width and height of a box."""
GRID = 32
"""Horizontal coordinates are multiples of 1 / GRID: short where the page packs them."""
_BEND_WIDTH = 0.4
_SPACING = 1.25  # distance of neighbours in a row, in their mean widths
# More sweeps change nothing: the orders repeat, coordinates move by 0.1 %.
_ORDER_SWEEPS, _COORDINATE_SWEEPS = 10, 24
# No drawing is as wide.
_FAR = 1000.0


class Layout(NamedTuple):
    """A drawing in units of a box's width and a row's height; y grows downwards.

    Attributes:
      centres: of the boxes: the input, the layers in order, the output.
      edges: the points of each edge, from the lower side of its predecessor to the
        upper side of its reader. An edge crosses a row upright and is curved between
        rows, where no box is: so it never lies under a box.
    """

    centres: tuple[Point, ...]
    edges: tuple[tuple[Point, ...], ...]


class _Graph(NamedTuple):
    """A graph as nodes in rows: the boxes first, then the bends of edges.

    Attributes:
      boxes: number of boxes.
      ranks: the row of each node, from 0.
      chains: the nodes of each edge, one per row that it touches.
      rows: the nodes of each row, from left to right.
    """

    boxes: int
    ranks: list[int]
    chains: list[list[int]]
    rows: list[list[int]]


def operation(layer: Layer) -> str:
    """Name a layer's operation, with its window: `Convolution 3x3`."""
    window = f" {layer.kernel}x{layer.kernel}" if layer.kernel else ""
    return f"{TYPES[layer.type].title}{window}"


def block_edges(block: Block) -> list[tuple[int, int]]:
    """List (predecessor, reader); the output is the node after the last layer."""
    edges = [(p, layer.index) for layer in block.layers for p in layer.predecessors]
    return edges + [(sink, len(block) + 1) for sink in block.sinks]


def layout(block: Block) -> Layout:
    """Lay a block out; one of 23 layers takes 0.7 ms."""
    return graph_layout(len(block) + 2, block_edges(block))


def graph_layout(boxes: int, edges: Sequence[tuple[int, int]]) -> Layout:
    """Lay a graph out.

    Args:
      boxes: their number; the first is on top.
      edges: (predecessor, reader) in order of the readers, each with a smaller
        predecessor.
    """
    graph = _graph(boxes, edges)
    _order_rows(graph)
    ys = map(float, graph.ranks)
    points = list(zip(_coordinates(graph).tolist(), ys, strict=True))
    return Layout(
        tuple(points[: graph.boxes]),
        tuple(connect([points[node] for node in chain]) for chain in graph.chains),
    )


def columns(made: Layout) -> list[int]:
    """Pack a layout: all that a drawing needs besides the edges of its block.

    Returns:
      x of the boxes, then of the bends of each edge, in units of 1 / GRID.
    """
    bends = [point for edge in made.edges for point in edge[1:-1:2]]
    return [round(x * GRID) for x, _ in (*made.centres, *bends)]


def connect(chain: Sequence[Point]) -> tuple[Point, ...]:
    """Lead an edge from box to box.

    Args:
      chain: centres of the first box, of the bends in between and of the last box.
    """
    half = BOX[1] / 2
    sides = [(x, y + side) for x, y in chain for side in (-half, half)]
    return tuple(sides[1:-1])


def _graph(boxes: int, edges: Sequence[tuple[int, int]]) -> _Graph:
    """Rank the boxes by their longest path, and give every edge its bends."""
    ranks = [0] * boxes
    for source, target in edges:
        ranks[target] = max(ranks[target], ranks[source] + 1)
    chains = []
    for source, target in edges:
        between = range(ranks[source] + 1, ranks[target])
        bends = range(len(ranks), len(ranks) + len(between))
        ranks.extend(between)
        chains.append([source, *bends, target])
    rows: list[list[int]] = [[] for _ in range(max(ranks) + 1)]
    for node, rank in enumerate(ranks):
        rows[rank].append(node)
    return _Graph(boxes, ranks, chains, rows)


def _order_rows(graph: _Graph) -> None:
    """Sort rows by the mean position of neighbours: sweeps down, then up."""
    above: list[list[int]] = [[] for _ in graph.ranks]
    below: list[list[int]] = [[] for _ in graph.ranks]
    for upper, lower in itertools.chain(*map(itertools.pairwise, graph.chains)):
        below[upper].append(lower)
        above[lower].append(upper)
    position = {node: i for row in graph.rows for i, node in enumerate(row)}

    def barycentre(node: int) -> float:
        seen = [position[other] for other in neighbours[node]]
        return sum(seen) / len(seen) if seen else position[node]

    for sweep in range(_ORDER_SWEEPS):
        down = sweep % 2 == 0
        neighbours = above if down else below
        for row in graph.rows if down else reversed(graph.rows):
            row.sort(key=barycentre)
            position.update({node: i for i, node in enumerate(row)})


def _coordinates(graph: _Graph) -> NDArray[np.float64]:
    """Draw nodes towards their neighbours, keeping order and distance in a row.

    Even and odd rows move in turn, since neighbours are one row apart. Subtracting the
    distances of nodes turns "as near to the wanted positions as the distances allow"
    into isotonic regression, here of all rows in one call, _FAR apart.

    Returns:
      x by node, float64 `[nodes]`, on the grid.
    """
    from scipy.optimize import isotonic_regression  # slow

    order = np.concatenate(graph.rows)
    ranks = np.array(graph.ranks)
    upper = np.concatenate([chain[:-1] for chain in graph.chains])
    lower = np.concatenate([chain[1:] for chain in graph.chains])
    ends, others = np.r_[upper, lower], np.r_[lower, upper]
    degree = np.bincount(ends)
    size = np.where(order < graph.boxes, BOX[0], _BEND_WIDTH)
    offset = np.r_[0.0, np.cumsum((size[1:] + size[:-1]) / 2 * _SPACING)]
    offset -= _FAR * ranks[order]
    x = np.zeros(len(order))
    for sweep in range(_COORDINATE_SWEEPS):
        wanted = np.bincount(ends, x[others]) / degree
        spread = np.empty_like(x)
        spread[order] = isotonic_regression(wanted[order] - offset).x + offset
        x = np.where(ranks % 2 == sweep % 2, spread, x)
    return np.round(x * GRID) / GRID

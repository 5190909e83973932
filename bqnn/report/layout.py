"""Where the boxes and edges of a block's drawing go: layered, input on top.

Sugiyama, Tagawa and Toda, *Methods for visual understanding of hierarchical system
structures*, 1981: longest-path ranks, bends where an edge passes a rank, orders by the
barycentre of neighbours, then coordinates near the neighbours' mean.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bqnn.space.nsc import Block, Layer, LayerType

Point = tuple[float, float]
BOX = (1.0, 0.4)  # width and height of a box
BEND_WIDTH = 0.4  # of a bend's lane
_SWEEPS = 24


class Layout(NamedTuple):
    """A drawing in units of a box's width and a row's height; y grows downwards.

    Attributes:
      centres: of the boxes: the input, the layers in order, the output.
      edges: the points that each edge goes through, from the lower side of its
        predecessor to the upper side of its reader. It passes rows upright, so that it
        can change sides only where no boxes are.
    """

    centres: tuple[Point, ...]
    edges: tuple[tuple[Point, ...], ...]


def operation(layer: Layer) -> str:
    """Name a layer's operation, with its window: `Convolution 3x3`."""
    window = f" {layer.kernel}x{layer.kernel}" if layer.kernel else ""
    return f"{LayerType(layer.type).title}{window}"


def block_edges(block: Block) -> list[tuple[int, int]]:
    """List (predecessor, reader); the output is the node after the last layer."""
    edges = [(p, layer.index) for layer in block.layers for p in layer.predecessors]
    return edges + [(sink, len(block) + 1) for sink in block.sinks]


def layout(block: Block) -> Layout:
    """CandidateId the input, the layers and the output of a block."""
    edges = block_edges(block)
    ranks = _ranks(len(block) + 2, edges)
    chains = _bend(edges, ranks)
    rows, neighbours = _rows(ranks), _neighbours(chains)
    rows = _least_crossings(rows, neighbours, ranks)
    x = _coordinates(rows, neighbours, real=len(block) + 2)
    points = [(x[node], float(ranks[node])) for node in range(len(ranks))]
    return Layout(
        tuple(points[: len(block) + 2]),
        tuple(connect([points[node] for node in chain]) for chain in chains),
    )


def connect(chain: Sequence[Point]) -> tuple[Point, ...]:
    """Lead an edge from box to box.

    Args:
      chain: centres of the first box, of the lanes in between and of the last box.
    """
    half = BOX[1] / 2
    sides = [(x, y + side) for x, y in chain for side in (-half, half)]
    return tuple(sides[1:-1])


def _ranks(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    ranks = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        ranks[target] = max(ranks[target], ranks[source] + 1)
    return ranks


def _bend(edges: Sequence[tuple[int, int]], ranks: list[int]) -> list[list[int]]:
    """Give every edge a bend in each rank that it passes; extends `ranks`."""
    chains = []
    for source, target in edges:
        chain = [source]
        for rank in range(ranks[source] + 1, ranks[target]):
            ranks.append(rank)
            chain.append(len(ranks) - 1)
        chains.append([*chain, target])
    return chains


def _rows(ranks: list[int]) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in range(max(ranks) + 1)]
    for node, rank in enumerate(ranks):
        rows[rank].append(node)
    return rows


def _neighbours(chains: list[list[int]]) -> dict[int, list[int]]:
    neighbours: dict[int, list[int]] = {}
    for chain in chains:
        for a, b in zip(chain, chain[1:], strict=False):
            neighbours.setdefault(a, []).append(b)
            neighbours.setdefault(b, []).append(a)
    return neighbours


def _least_crossings(
    rows: list[list[int]], neighbours: dict[int, list[int]], ranks: list[int]
) -> list[list[int]]:
    """Sweep down and up, and keep the best order met."""
    best, fewest = rows, _crossings(rows, neighbours, ranks)
    for sweep in range(_SWEEPS):
        step = 1 if sweep % 2 == 0 else -1
        rows = _sweep(rows, neighbours, ranks, step)
        crossings = _crossings(rows, neighbours, ranks)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _sweep(
    rows: list[list[int]], neighbours: dict[int, list[int]], ranks: list[int], step: int
) -> list[list[int]]:
    place = {node: i for row in rows for i, node in enumerate(row)}
    result = list(rows)
    for rank in range(len(rows))[::step]:

        def barycentre(node: int, before: int = rank - step) -> float:
            seen = [place[n] for n in neighbours[node] if ranks[n] == before]
            return sum(seen) / len(seen) if seen else place[node]

        result[rank] = sorted(rows[rank], key=barycentre)
        place.update({node: i for i, node in enumerate(result[rank])})
    return result


def _crossings(
    rows: list[list[int]], neighbours: dict[int, list[int]], ranks: list[int]
) -> int:
    place = {node: i for row in rows for i, node in enumerate(row)}
    total = 0
    for rank, row in enumerate(rows):
        pairs = [
            (place[a], place[b])
            for a in row
            for b in neighbours[a]
            if ranks[b] == rank + 1
        ]
        total += sum(
            (a - c) * (b - d) < 0
            for i, (a, b) in enumerate(pairs)
            for c, d in pairs[:i]
        )
    return total


def _coordinates(
    rows: list[list[int]], neighbours: dict[int, list[int]], real: int
) -> list[float]:
    """Draw nodes towards their neighbours, keeping order and distance in a row."""
    size = [1.0 if n < real else BEND_WIDTH for n in range(sum(map(len, rows)))]
    x = [0.0] * len(size)
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            near = [[x[n] for n in neighbours[node]] for node in row]
            wanted = [sum(values) / len(values) for values in near]
            for node, value in zip(row, _spread(wanted, row, size), strict=True):
                x[node] = value
    return x


def _spread(wanted: list[float], row: list[int], size: list[float]) -> list[float]:
    """Move values apart to their distances, as little as least squares allows.

    Subtracting the distances turns the problem into isotonic regression.
    """
    gaps = [0.0]
    for a, b in zip(row, row[1:], strict=False):
        gaps.append(gaps[-1] + (size[a] + size[b]) / 2 * 1.25)
    blocks: list[tuple[float, int]] = []
    for value, gap in zip(wanted, gaps, strict=True):
        mean, count = value - gap, 1
        while blocks and blocks[-1][0] > mean:
            other, number = blocks.pop()
            mean = (mean * count + other * number) / (count + number)
            count += number
        blocks.append((mean, count))
    levels = [mean for mean, count in blocks for _ in range(count)]
    return [level + gap for level, gap in zip(levels, gaps, strict=True)]

"""Drawings of blocks: what is in them, and that nothing lies over anything else."""

import itertools
import re

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyBboxPatch

from bqnn.report import draw
from bqnn.report.draw import block_drawing
from bqnn.report.layout import BOX
from bqnn.space.nsc import Block, parse
from tests.helpers.blocks import random_blocks

EXAMPLE = "1,1,3,0,0;2,2,3,1,0;3,5,0,1,2;4,1,5,0,0;5,7,0,0,0"
BLOCKS = random_blocks(20, 23)

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom


def test_a_drawing_shows_itself_in_a_notebook() -> None:
    svg = draw.block_drawing(parse(EXAMPLE))._repr_svg_()
    assert svg.startswith("<?xml") and "1: Convolution 3x3" in svg


def test_dot_has_every_edge() -> None:
    text = draw.to_dot(draw.block_drawing(parse(EXAMPLE)))
    edges = re.findall(r"(\d+) -> (\d+);", text)
    want = [(0, 1), (1, 2), (1, 3), (2, 3), (0, 4), (3, 5), (4, 5)]
    assert edges == [(str(a), str(b)) for a, b in want]


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    return bool(wide > 1e-9 and high > 1e-9)


@pytest.mark.parametrize("block", BLOCKS, ids=len)
def test_no_box_lies_over_another_or_an_edge(block: Block) -> None:
    centres, edges = block_drawing(block).layout
    half = BOX[0] / 2, BOX[1] / 2
    boxes = [(x - half[0], y - half[1], x + half[0], y + half[1]) for x, y in centres]
    for i, box in enumerate(boxes):
        assert not any(_overlap(box, other) for other in boxes[:i])
    for edge in edges:
        for (x, y), (to_x, to_y) in itertools.pairwise(edge):
            assert to_y > y
            # A line, or a curve with its control points, between two opposite corners.
            hull = min(x, to_x) - 0.01, y, max(x, to_x) + 0.01, to_y
            assert not any(_overlap(hull, box) for box in boxes)


@pytest.mark.parametrize("block", BLOCKS, ids=len)
def test_labels_are_within_their_boxes(block: Block) -> None:
    figure = draw.figure(block_drawing(block))
    renderer = FigureCanvasAgg(figure).get_renderer()
    (axes,) = figure.axes
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    assert len(boxes) == len(axes.texts) == len(block) + 2
    for box, text in zip(boxes, axes.texts, strict=True):
        outer, inner = (e.get_window_extent(renderer) for e in (box, text))
        assert outer.x0 < inner.x0 and inner.x1 < outer.x1
        assert outer.y0 < inner.y0 and inner.y1 < outer.y1

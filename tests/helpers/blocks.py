"""Blocks to test with."""

import numpy as np
from hypothesis import strategies as st

from bqnn.layer_types import PAPER_TYPES
from bqnn.space.actions import NscSpace, legal_codes
from bqnn.space.nsc import Block, Layer

ALL_TYPES = (*PAPER_TYPES, "separable_convolution")


def random_block(
    rng: np.random.Generator, max_layers: int, types: tuple[str, ...] = PAPER_TYPES
) -> Block:
    """Draw every code uniformly among the legal ones."""
    layers: list[Layer] = []
    for index in range(1, max_layers + 1):
        codes = legal_codes(index, types)
        code = codes[rng.integers(len(codes))]
        if code.type == 7:
            break
        layers.append(code)
    return Block(tuple(layers))


def random_blocks(count: int, max_layers: int) -> list[Block]:
    """Draw blocks: the first of `max_layers`, the others of fewer and fewer."""
    rng = np.random.default_rng(1)
    blocks = []
    for n in range(count):
        length = max(1, max_layers - n)
        codes = [_codes(index) for index in range(1, length + 1)]
        blocks.append(Block(tuple(c[rng.integers(len(c))] for c in codes)))
    return blocks


def all_blocks(max_layers: int) -> list[Block]:
    """List every block of up to `max_layers` layers."""
    found: list[Block] = []
    partial: list[tuple[Layer, ...]] = [()]
    for index in range(1, max_layers + 1):
        codes = [code for code in legal_codes(index) if code.type != 7]
        partial = [(*layers, code) for layers in partial for code in codes]
        found += [Block(layers) for layers in partial]
    return found


@st.composite
def blocks(draw: st.DrawFn, max_layers: int = 23) -> Block:
    """Draw a block; shrinks towards few layers of small codes."""
    length = draw(st.integers(1, max_layers))
    return Block(tuple(draw(st.sampled_from(_codes(i + 1))) for i in range(length)))


def reordered(block: Block, rng: np.random.Generator) -> tuple[Block, dict[int, int]]:
    """Reorder independent layers at random; also maps old indices to new ones."""
    places, rest = {0: 0}, list(block.layers)
    layers = []
    while rest:
        ready = [
            layer for layer in rest if all(p in places for p in layer.predecessors)
        ]
        layer = ready[rng.integers(len(ready))]
        rest.remove(layer)
        places[layer.index] = len(places)
        preds = sorted(places[pred] for pred in layer.predecessors)
        pred1, pred2 = (*preds, 0)[:2]
        index = places[layer.index]
        layers.append(Layer(index, layer.type, layer.kernel, pred1, pred2))
    return Block(tuple(layers)), places


def _codes(index: int) -> list[Layer]:
    return [code for code in legal_codes(index) if code.type != 7]


SPACE = NscSpace(23)

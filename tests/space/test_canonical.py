"""Canonical hashes: what they merge, and that they merge nothing else."""

import collections
import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqnn.space import nsc
from bqnn.space.nsc import Block, Layer, canonical_hash
from tests.helpers.blocks import all_blocks, blocks, reordered


@given(blocks(), st.integers(0, 2**32 - 1))
def test_the_order_of_independent_layers_does_not_matter(
    block: Block, seed: int
) -> None:
    other, _ = reordered(block, np.random.default_rng(seed))
    assert canonical_hash(other) == canonical_hash(block)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # Arguments of Add and Concat swapped, by reordering what they read.
        ("1,1,3,0,0;2,1,5,0,0;3,5,0,1,2", "1,1,5,0,0;2,1,3,0,0;3,5,0,1,2"),
        ("1,1,3,0,0;2,2,3,1,0;3,6,0,0,2", "1,1,3,0,0;2,2,3,1,0;3,6,0,2,0"),
        # Identity and pooling of kernel 1 pass their input through.
        ("1,1,3,0,0;2,4,0,1,0;3,1,5,2,0", "1,1,3,0,0;2,1,5,1,0"),
        ("1,2,1,0,0;2,1,3,1,0;3,3,1,2,0", "1,1,3,0,0"),
        ("1,4,0,0,0", "1,3,1,0,0"),
    ],
)
def test_equal_functions_merge(one: str, other: str) -> None:
    assert canonical_hash(nsc.parse(one)) == canonical_hash(nsc.parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,1,3,0,0", "1,1,5,0,0"),
        ("1,2,3,0,0", "1,3,3,0,0"),
        ("1,1,3,0,0;2,5,0,0,1", "1,1,3,0,0;2,6,0,0,1"),
        # An identity that is a sink beside its input's other reader: the set of sinks
        # is another one without it.
        ("1,1,3,0,0;2,4,0,1,0;3,1,3,1,0", "1,1,3,0,0;2,1,3,1,0"),
        # The sum of one convolution with itself, and of two convolutions.
        (
            "1,1,3,0,0;2,4,0,1,0;3,5,0,1,2",
            "1,1,3,0,0;2,1,3,0,0;3,5,0,1,2",
        ),
    ],
)
def test_different_functions_do_not_merge(one: str, other: str) -> None:
    assert canonical_hash(nsc.parse(one)) != canonical_hash(nsc.parse(other))


def _sums_over(pairs: list[tuple[int, int]], convolutions: int) -> Block:
    layers = [Layer(i, 1, 3, 0, 0) for i in range(1, convolutions + 1)]
    for pair in pairs:
        layers.append(Layer(len(layers) + 1, 5, 0, *sorted(pair)))
    return Block(tuple(layers))


def test_graphs_that_look_alike_from_every_node_are_told_apart() -> None:
    # Six convolutions, summed along two triangles or along one hexagon: refinement by
    # neighbours alone cannot see the difference.
    triangles = [(1, 2), (2, 3), (1, 3), (4, 5), (5, 6), (4, 6)]
    hexagon = [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (1, 6)]
    assert canonical_hash(_sums_over(triangles, 6)) != canonical_hash(
        _sums_over(hexagon, 6)
    )


def test_ties_between_inequivalent_nodes_do_not_depend_on_the_order() -> None:
    # A triangle beside a square: refinement ties all seven, but they are not alike.
    pairs = [(1, 2), (2, 3), (1, 3), (4, 5), (5, 6), (6, 7), (4, 7)]
    block = _sums_over(pairs, 7)
    rng = np.random.default_rng(0)
    hashes = {canonical_hash(reordered(block, rng)[0]) for _ in range(20)}
    assert hashes == {canonical_hash(block)}


def _resolved(block: Block) -> list[tuple[tuple[int, int], tuple[int, ...]]]:
    """List (label, inputs) of computing layers and output, pass-through removed."""
    source: dict[int, int] = {0: 0}
    nodes: list[tuple[tuple[int, int], tuple[int, ...]]] = [((0, 0), ())]
    for layer in block.layers:
        if layer.type == 4 or (layer.type in (2, 3) and layer.kernel == 1):
            source[layer.index] = source[layer.pred1]
            continue
        inputs = tuple(source[pred] for pred in layer.predecessors)
        source[layer.index] = len(nodes)
        nodes.append(((layer.type, layer.kernel), inputs))
    return [*nodes, ((7, 0), tuple(source[sink] for sink in block.sinks))]


def _brute_force_form(block: Block) -> tuple[object, ...]:
    nodes = _resolved(block)
    inner = range(1, len(nodes) - 1)
    forms = []
    for order in itertools.permutations(inner):
        place = {0: 0, **{node: i for i, node in enumerate(order, 1)}}
        forms.append(
            tuple(
                (nodes[n][0], tuple(sorted(place[p] for p in nodes[n][1])))
                for n in (0, *order, len(nodes) - 1)
            )
        )
    return min(forms)


def test_hashes_of_all_small_blocks_agree_with_brute_force_isomorphism() -> None:
    groups: dict[object, set[str]] = collections.defaultdict(set)
    forms: dict[str, set[object]] = collections.defaultdict(set)
    for block in all_blocks(3):
        form, sha = _brute_force_form(block), canonical_hash(block)
        groups[form].add(sha)
        forms[sha].add(form)
    assert len(groups) > 800  # so that there is something to confuse
    assert all(len(hashes) == 1 for hashes in groups.values()), "merges too little"
    assert all(len(same) == 1 for same in forms.values()), "merges too much"


def test_native_width_keeps_the_order_of_concatenated_channels() -> None:
    # (a, b) + (a, c) and, after reordering, (b, a) + (a, c): with native widths Add
    # sees the channels as they lie, so these differ.
    one = nsc.parse("1,1,1,0,0;2,1,3,0,0;3,1,5,0,0;4,6,0,1,2;5,6,0,1,3;6,5,0,4,5")
    other = nsc.parse("1,1,3,0,0;2,1,1,0,0;3,1,5,0,0;4,6,0,1,2;5,6,0,2,3;6,5,0,4,5")
    assert canonical_hash(one) == canonical_hash(other)
    assert canonical_hash(one, "native") != canonical_hash(other, "native")


def test_highly_symmetric_blocks_are_hashed_at_once() -> None:
    chains = [Layer(i, 1, 3, 0, 0) for i in range(1, 12)]
    chains += [Layer(i, 1, 3, i - 11, 0) for i in range(12, 23)]
    start = time.monotonic()
    canonical_hash(Block(tuple(chains)))
    assert time.monotonic() - start < 10, "symmetry is not used: 11! orders"

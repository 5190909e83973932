"""Keys and features of blocks, against the canonical hash and by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bqnn.agents.sampling import random_blocks
from bqnn.compare.tabular import all_actions
from bqnn.config.network import WIRINGS
from bqnn.layer_types import PAPER_TYPES
from bqnn.space.actions import NscSpace
from bqnn.space.block_graph import block_graph, graph_features
from bqnn.space.nsc import canonical_hash, parse
from tests.helpers.blocks import ALL_TYPES

pytestmark = pytest.mark.quick_compilation


def _blocks(space: NscSpace, count: int) -> np.ndarray:
    if space.max_layers == 3:
        return np.stack(list(all_actions(space.arrays)))
    keys = jax.random.split(jax.random.key(0), count)
    draw = jax.jit(lambda keys: random_blocks(space.arrays, "types", keys))
    return np.asarray(draw(keys))


@pytest.mark.parametrize("width", ["uniform", "native"])
@pytest.mark.parametrize(
    ("max_layers", "types", "wirings"),
    [
        (3, PAPER_TYPES, ()),
        (6, PAPER_TYPES, ()),
        (23, PAPER_TYPES, ()),
        (6, ALL_TYPES[::2], ()),
        (4, PAPER_TYPES, WIRINGS[1:]),
    ],
)
def test_key_and_features_follow_the_canonical_hash(
    max_layers: int, types: tuple[str, ...], wirings: tuple[str, ...], width: str
) -> None:
    space = NscSpace(max_layers, width, types, wirings)
    rows = _blocks(space, 1000)
    keys = np.asarray(jax.jit(jax.vmap(space.arrays.key))(rows)).tolist()
    features = np.asarray(jax.jit(jax.vmap(space.arrays.features))(rows))
    hashes = [canonical_hash(space.decode(row), width) for row in rows]
    # As many pairs as hashes and as keys: one belongs to one.
    assert len({*zip(hashes, keys, strict=True)}) == len({*hashes}) == len({*keys})
    first = {name: row for name, row in zip(hashes, features, strict=True)}
    for name, row in zip(hashes, features, strict=True):
        np.testing.assert_array_equal(row, first[name])
    wired = {decoded.wiring for decoded in map(space.decode, rows)}
    assert wired == {0, *map(WIRINGS.index, wirings)}


def test_features_by_hand() -> None:
    space = NscSpace(5)
    # 3x3 and 5x5 of the input, their sum, and an average of the input: two sinks.
    block = parse("1,1,3,0,0;2,1,5,0,0;3,5,0,1,2;4,3,3,0,0")
    actions = jnp.asarray(space.encode(block))
    graph = jax.jit(functools.partial(block_graph, space.arrays.codes))(actions)
    found = jax.jit(functools.partial(graph_features, types=space.types))(
        graph
    ).tolist()
    by_depth = np.zeros((7, 5), int)
    by_depth[[1, 2, 4], 0] = 1  # both convolutions and the pooling at depth 1
    by_depth[5, 1] = 1  # Add at depth 2
    assert found[:35] == by_depth.ravel().tolist()
    assert found[35:43] == [0, 0, 0, 0, 1, 1, 0, 0]  # the output reads pooling and Add
    assert found[43:46] == [2, 1, 2]  # depth, most convolutions, largest radius
    assert found[46:48] == [0, 1]  # fewest convolutions, smallest radius
    # Width 3, 2 sinks, 3 ways, and a cost of 9 + 25 + 2 = 36: the tenth step is 32.
    assert found[48:] == [3, 2, 3, 10]

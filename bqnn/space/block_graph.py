"""Block graph: what a row of actions computes, as arrays in JAX.

As in `nsc.canonical_hash`, layers that only pass their input on are no nodes, and the
order of layers, and of the arguments of Add and Concat, does not matter.
"""

import functools
import operator
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import NDArray

from bqnn.layer_types import TYPES, LayerKind, LayerType
from bqnn.space.keys import mixed

Codes = NDArray[np.int32]
"""Type, kernel and two predecessors of each action, int32 `[T, A, 4]`."""


def key(codes: Codes, ordered: bool, actions: Array) -> Array:
    """Hash a block; see `Space.key` and `graph_key`."""
    return graph_key(block_graph(codes, actions), ordered)


def features(codes: Codes, types: tuple[LayerKind, ...], actions: Array) -> Array:
    """Describe a block; see `Space.features` and `graph_features`."""
    return graph_features(block_graph(codes, actions), types)


def wired_key(codes: Codes, ordered: bool, actions: Array) -> Array:
    """Hash a block whose first decision is its wiring."""
    wiring = jnp.asarray(codes)[0, actions[0], 1].astype(jnp.uint32)
    own = jnp.where(wiring > 0, mixed(wiring), 0)
    return key(codes[1:], ordered, actions[1:]) ^ own


def wired_features(codes: Codes, types: tuple[LayerKind, ...], actions: Array) -> Array:
    """Describe a block whose first decision is its wiring: one number for each more."""
    among = codes[0, :, 0] == LayerType.TERMINAL
    wiring = (np.flatnonzero(among) == actions[0]).astype(jnp.int32)
    return jnp.concatenate([features(codes[1:], types, actions[1:]), wiring])


class BlockGraph(NamedTuple):
    """The graph of one block. Node 0 is the input, node t + 1 is layer t.

    Attributes:
      types: layer type of each node, 0 if it computes nothing; int32 `[T + 1]`.
      kernels: their kernels, int32 `[T + 1]`.
      first, second: how often a node (row) reads another (column) as its first and
        as its second argument; uint32 `[T + 1, T + 1]`.
      outputs: how often a sink passes a node on to the output, uint32 `[T + 1]`.
      places: which sinks pass it on (bit s for the s-th), uint32 `[T + 1]`.
    """

    types: Array
    kernels: Array
    first: Array
    second: Array
    outputs: Array
    places: Array


def block_graph(codes: Codes, actions: Array) -> BlockGraph:
    """Make the graph of one block.

    Args:
      codes: of all actions.
      actions: int32 `[T]`, -1 after the end.
    """
    steps = len(actions)
    fields = jnp.asarray(codes)[jnp.arange(steps), jnp.maximum(actions, 0)]
    types, kernels, pred1, pred2 = fields.T
    live = (actions >= 0) & (types != LayerType.TERMINAL)
    known = TYPES.values()
    two = [kind.code for kind in known if kind.num_predecessors == 2]
    passing = [_place(kind.code, k) for kind in known for k in kind.passing]
    binary = live & _is_any(types, two)
    passes = live & _is_any(_place(types, kernels), passing)
    computes = live & ~passes

    def resolve(sources: Array, at: tuple[Array, ...]) -> tuple[Array, None]:
        node, pred, passes_on = at
        own = (jnp.arange(steps + 1) == node).astype(jnp.uint32)
        return sources.at[node].set(jnp.where(passes_on, sources[pred], own)), None

    # Row i has a one at the node that computes the value of layer index i.
    nodes = jnp.arange(1, steps + 1)
    start = jnp.zeros((steps + 1, steps + 1), jnp.uint32).at[0, 0].set(1)
    sources, _ = lax.scan(resolve, start, (nodes, pred1, passes))
    read = jnp.zeros(steps + 1, bool)
    read = read.at[jnp.where(live, pred1, 0)].set(True)
    read = read.at[jnp.where(binary, pred2, 0)].set(True)
    sinks = live & ~read[1:]
    rank = jnp.cumsum(sinks, dtype=jnp.uint32) - 1
    weights = jnp.where(sinks, 1, 0).astype(jnp.uint32)
    bits = jnp.where(sinks, jnp.uint32(1) << (rank % 32), 0).astype(jnp.uint32)

    def padded(rows: Array, kept: Array) -> Array:
        return jnp.pad(jnp.where(kept[:, None], rows, 0), ((1, 0), (0, 0)))

    return BlockGraph(
        types=jnp.pad(jnp.where(computes, types, 0), (1, 0)),
        kernels=jnp.pad(jnp.where(computes, kernels, 0), (1, 0)),
        first=padded(sources[pred1], computes),
        second=padded(sources[pred2], computes & binary),
        outputs=(sources[1:] * weights[:, None]).sum(axis=0, dtype=jnp.uint32),
        places=(sources[1:] * bits[:, None]).sum(axis=0, dtype=jnp.uint32),
    )


def graph_key(graph: BlockGraph, ordered: bool) -> Array:
    """Hash a graph so that equal functions have equal keys, uint32 `[]`.

    Blocks of one `nsc.canonical_hash` have one key. Others differ in it, but for about
    one pair in 2**32: nodes are coloured by what they read, then by who reads them, and
    that twice.

    Args:
      graph: of the block.
      ordered: whether the order of a Concat's arguments and of the sinks counts, as
        with the width rule `native`.
    """
    colours = mixed((_place(graph.types, graph.kernels) + 1).astype(jnp.uint32))
    is_concat = (graph.types == LayerType.CONCAT) & ordered
    salt = jnp.where(is_concat, jnp.uint32(0x9E3779B9), jnp.uint32(0))
    output = mixed(graph.places) if ordered else graph.outputs

    def recolour(_: Array, colours: Array) -> Array:
        return _recoloured(graph, colours, salt, output)

    colours = lax.fori_loop(0, 2, recolour, colours)
    counted = (graph.types > 0).at[0].set(True)
    return jnp.where(counted, mixed(colours), 0).sum(dtype=jnp.uint32)


def _recoloured(graph: BlockGraph, colours: Array, salt: Array, output: Array) -> Array:
    """Colour every node by the old colours of all that it reads, and of its readers."""
    nodes = jnp.arange(len(colours))

    def forward(below: Array, node: Array) -> tuple[Array, None]:
        words = graph.first[node] * mixed(below)
        words += graph.second[node] * mixed(below ^ salt[node])
        total = words.sum(dtype=jnp.uint32)
        return below.at[node].set(mixed(colours[node] * 3 + total)), None

    below, _ = lax.scan(forward, colours, nodes)

    def backward(above: Array, node: Array) -> tuple[Array, None]:
        readers = above * 5 + below
        words = graph.first[:, node] * mixed(readers)
        words += graph.second[:, node] * mixed(readers ^ salt)
        total = words.sum(dtype=jnp.uint32) + output[node] * jnp.uint32(0xC2B2AE3D)
        return above.at[node].set(mixed(colours[node] * 7 + total)), None

    above, _ = lax.scan(backward, colours, nodes, reverse=True)
    return mixed(below * 9 + above)


_DEPTHS = (1, 2, 3, 5, 9)
"""First depth of each group of depths."""
_HALF_OCTAVES = np.array(
    [1, 2, 3, *(b * 2**i for i in range(1, 21) for b in (2, 3))], np.int32
)
_FAR = 2**20
"""Above every depth and every number of ways that is told apart."""


def graph_features(graph: BlockGraph, types: tuple[LayerKind, ...]) -> Array:
    """Describe what a block computes by small integers, int32 `[F]`.

    Args:
      graph: of the block.
      types: of the space. What is counted depends on them alone.

    Equal for blocks of one canonical hash. Each counts something:

    - nodes of every kind (type and kernel), by depth: the longest way from the input;
    - kinds of the nodes that the output reads, and whether it reads the input;
    - depth of the output; most convolutions on a way to it, fewest; the radius of the
      receptive field, largest and smallest; nodes at the depth that has most (width);
    - sinks; ways from input to output, and the cost, both in half octaves (1, 2, 3, 4,
      6, 8, 12 ... are 1, 2, 3 ...).

    The cost is `_cost`.
    """
    kinds = [(x, k) for x in types[:-1] for k in x.kernels if k not in x.passing]
    is_kind = jnp.stack(
        [(graph.types == x.code) & (graph.kernels == k) for x, k in kinds]
    )
    reads = (graph.first + graph.second).astype(jnp.int32)
    convolving = [x.code for x in types if x.products]
    is_conv = _is_any(graph.types, convolving).astype(jnp.int32)
    radius = jnp.maximum(graph.kernels - 1, 0) // 2
    own = jnp.stack([(graph.types > 0).astype(jnp.int32), is_conv, radius])
    most, least = _over_paths(reads, own, -1), _over_paths(reads, own, _FAR)
    outputs = graph.outputs.astype(jnp.int32)
    to_output = outputs > 0
    depth = most[0]
    edges = np.array([*_DEPTHS, _FAR], np.int32)
    in_group = (depth[None] >= edges[:-1, None]) & (depth[None] < edges[1:, None])
    by_depth = (is_kind[:, None] & in_group[None]).sum(axis=2, dtype=jnp.int32)
    last = jnp.where(is_kind, outputs[None], 0).sum(axis=1, dtype=jnp.int32)
    deepest = jnp.where(to_output[None], most, -1).max(axis=1)
    shallowest = jnp.where(to_output[None], least, _FAR).min(axis=1)
    levels = depth[None] == jnp.arange(1, len(depth))[:, None]
    levels &= (graph.types > 0)[None]
    width = levels.sum(axis=1, dtype=jnp.int32).max()
    sinks = outputs.sum(dtype=jnp.int32)
    ways = (_paths(reads) * outputs).sum(dtype=jnp.int32)
    products = np.array([_products(x, k) for x, k in kinds], np.int32)
    cost = _cost(graph, is_kind, products, sinks)
    single = jnp.stack([width, sinks, _half_octaves(ways), _half_octaves(cost)])
    return jnp.concatenate(
        [by_depth.ravel(), last, outputs[:1], deepest, shallowest[1:], single]
    )


def _cost(
    graph: BlockGraph, is_kind: Array, products: np.ndarray, sinks: Array
) -> Array:
    """Count the 1x1 convolutions of one width that a block costs, int32 `[]`.

    They are `LayerKind.products`, 2 for what follows a Concat, and the number of sinks
    for what joins them. With the width rule `uniform`, FLOPs and parameters of a block
    of the paper's types are this number times a constant.

    Args:
      graph: of the block.
      is_kind: which nodes are of which kind, bool `[kinds, T + 1]`.
      products: of a node of each kind, int32 `[kinds]`.
      sinks: how many there are, int32 `[]`.
    """
    concats = (graph.types == LayerType.CONCAT).sum(dtype=jnp.int32)
    convolved = (is_kind.sum(axis=1, dtype=jnp.int32) * products).sum(dtype=jnp.int32)
    return convolved + 2 * concats + jnp.where(sinks > 1, sinks, 0)


def _place(kind: Any, kernel: Any) -> Any:
    """Number pairs of type and kernel, in arrays or alone: kernels are below 8."""
    return kind * 8 + kernel


def _is_any(values: Array, wanted: Iterable[int]) -> Array:
    """Mark the values that are among some integers."""
    none = jnp.zeros(values.shape, bool)
    return functools.reduce(operator.or_, [values == x for x in wanted], none)


def _products(kind: LayerKind, kernel: int) -> int:
    return kind.products[kind.kernels.index(kernel)] if kind.products else 0


def _over_paths(reads: Array, own: Array, worst: int) -> Array:
    """Add up numbers of nodes along the ways from the input to each node.

    Args:
      reads: how often a node reads another, int32 `[T + 1, T + 1]`.
      own: numbers of each node, int32 `[K, T + 1]`.
      worst: -1 for the largest sums, `_FAR` for the smallest.

    Returns:
      Sums, the node's own number included, int32 `[K, T + 1]`.
    """

    def visit(sums: Array, node: Array) -> tuple[Array, None]:
        below = jnp.where((reads[node] > 0)[None], sums, worst)
        best = below.max(axis=1) if worst < 0 else below.min(axis=1)
        best = jnp.where((reads[node] > 0).any(), best, 0)
        return sums.at[:, node].set(best + own[:, node]), None

    return lax.scan(visit, jnp.zeros_like(own), jnp.arange(own.shape[1]))[0]


def _paths(reads: Array) -> Array:
    """Count the ways from the input to each node, up to `_FAR`, int32 `[T + 1]`."""

    def visit(counts: Array, node: Array) -> tuple[Array, None]:
        total = (reads[node] * counts).sum(dtype=jnp.int32)
        return counts.at[node].set(jnp.minimum(total, _FAR)), None

    start = jnp.zeros(len(reads), jnp.int32).at[0].set(1)
    return lax.scan(visit, start, jnp.arange(1, len(reads)))[0]


def _half_octaves(count: Array) -> Array:
    return (count >= _HALF_OCTAVES).sum(dtype=jnp.int32)

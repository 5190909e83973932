"""Units: the pieces that a network is walked in, few enough to compile them all.

With the uniform width rule every tensor of a stage has one shape, so all networks of a
search are made of the same few dozen units.
"""

import functools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from bqnn.config import NetworkConfig
from bqnn.networks.plan import ImageSpec, NetworkPlan, Node, plan
from bqnn.space.actions import legal_codes
from bqnn.space.nsc import Block, Layer, LayerType

Shape = tuple[int, int, int]


class Signature(NamedTuple):
    """What decides the programs of a unit, besides batch size and recipe.

    Attributes:
      nodes: its nodes without their names and places; each but the first reads the one
        before it.
      inputs: height, width and channels of what the first node reads.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[Shape, ...]


class Unit(NamedTuple):
    """A node of a plan, or two that always come together.

    Attributes:
      signature: what to compute.
      names: of its nodes, in the parameter tree.
      inputs: places in the plan of the values it reads.
      output: place in the plan of the value it computes.
    """

    signature: Signature
    names: tuple[str, ...]
    inputs: tuple[int, ...]
    output: int


def units(network: NetworkPlan) -> tuple[Unit, ...]:
    """Cut a network into units, in an order in which they can be computed.

    Nodes that change nothing (identity, pooling with kernel 1) vanish. A Concat or a
    pooling between stages and the projection that alone reads it are one unit.
    """
    readers = Counter(place for node in network.nodes for place in node.inputs)
    same: dict[int, int] = {}
    found: list[Unit] = []
    for place, node in enumerate(network.nodes):
        inputs = tuple(same.get(source, source) for source in node.inputs)
        if node.op == "input":
            continue
        if node.op == "identity" or (_is_pool(node) and node.kernel == 1):
            same[place] = inputs[0]
        elif _is_projection(network, node) and readers[node.inputs[0]] == 1:
            found.append(_extended(found.pop(), node, place))
        else:
            found.append(_unit(network, node, inputs, place))
    return tuple(found)


def last_reads(network: Sequence[Unit]) -> tuple[frozenset[int], ...]:
    """List, for every unit, the places that no later unit reads."""
    later: set[int] = set()
    found = []
    for unit in reversed(network):
        found.append(frozenset(unit.inputs) - later)
        later |= set(unit.inputs)
    return tuple(reversed(found))


@functools.lru_cache(maxsize=8)
def space_signatures(
    max_layers: int, config: NetworkConfig, images: ImageSpec
) -> tuple[Signature, ...]:
    """List the signatures that networks of a whole search space are made of.

    Args:
      max_layers: of a block.
      config: stages; its width rule is `uniform`.
      images: what goes in.
    """
    one_layer = [
        code
        for index in (1, 2)
        for code in legal_codes(index)
        if code.type != LayerType.TERMINAL
    ]
    blocks = [Block((code,)) for code in one_layer if code.index == 1]
    blocks += [Block((_side(1), code)) for code in one_layer if code.index == 2]
    # As many sinks as there can be: the widest concatenation has one for every layer.
    blocks += [
        Block(tuple(_side(i) for i in range(1, n + 1)))
        for n in range(2, max_layers + 1)
    ]
    fitting = [block for block in blocks if len(block) <= max_layers]
    found = {
        unit.signature: None
        for block in fitting
        for unit in units(plan(block, config, images))
    }
    return tuple(found)


def _side(index: int) -> Layer:
    """A layer beside all others: it reads the block's input."""
    return Layer(index, LayerType.CONVOLUTION, 1, 0, 0)


def _is_pool(node: Node) -> bool:
    return node.op in ("max_pool", "average_pool")


def _is_projection(network: NetworkPlan, node: Node) -> bool:
    if node.op != "pcc" or node.kernel != 1:
        return False
    source = network.nodes[node.inputs[0]]
    return source.op == "concat" or (_is_pool(source) and source.stride == 2)


def _unit(
    network: NetworkPlan, node: Node, inputs: tuple[int, ...], place: int
) -> Unit:
    shapes = tuple(
        (n.height, n.width, n.channels) for n in (network.nodes[i] for i in inputs)
    )
    return Unit(Signature((_bare(node),), shapes), (node.name,), inputs, place)


def _extended(unit: Unit, node: Node, place: int) -> Unit:
    nodes = (*unit.signature.nodes, _bare(node))
    signature = unit.signature._replace(nodes=nodes)
    return Unit(signature, (*unit.names, node.name), unit.inputs, place)


def _bare(node: Node) -> Node:
    """Drop what says where a node stands."""
    return node._replace(name="unit", inputs=(), stage=0, repeat=0, layer=0)

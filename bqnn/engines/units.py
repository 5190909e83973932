"""Units: the pieces that `walk` trains a network in, few enough to compile them all.

With the uniform width rule every tensor of a stage has one shape, so all networks of a
search consist of the same few dozen units. A unit is a node, or a Concat or a pooling
between stages together with the projection that reads it: as few programs, and as few
calls, as the plan allows. Larger units would be as many as there are blocks.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from bqnn.config import NetworkConfig, SpaceConfig
from bqnn.config.network import WIRINGS
from bqnn.layer_types import LayerType
from bqnn.networks.nodes import ImageSpec, NetworkPlan, Node
from bqnn.networks.plan import fitted, plan
from bqnn.space.actions import legal_codes
from bqnn.space.nsc import Block, Layer

Shape = tuple[int, int, int]


class UnitSignature(NamedTuple):
    """A unit without its position: with batch size and recipe, it decides the programs.

    Attributes:
      nodes: the nodes, without names and positions. Each but the first reads the one
        before it.
      inputs: (H, W, C) of the inputs of the first node.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[Shape, ...]

    @property
    def output(self) -> Shape:
        """(H, W, C) of the output."""
        last = self.nodes[-1]
        return last.height, last.width, last.channels


class Unit(NamedTuple):
    """A node of a plan, or two that always come together.

    Attributes:
      signature: what the unit computes.
      names: the names of its nodes in the parameter tree.
      inputs: indices in the plan of the nodes that it reads.
      output: index in the plan of the node whose value it computes.
    """

    signature: UnitSignature
    names: tuple[str, ...]
    inputs: tuple[int, ...]
    output: int


def units(network: NetworkPlan) -> tuple[Unit, ...]:
    """Cut a network into units, in an order in which they can be computed.

    Nodes that change nothing (identity, pooling with kernel 1) vanish. A Concat or a
    pooling between stages forms one unit with the projection that alone reads it.
    """
    num_readers = Counter(source for node in network.nodes for source in node.inputs)
    same: dict[int, int] = {}
    found: list[Unit] = []
    for index, node in enumerate(network.nodes):
        inputs = tuple(same.get(source, source) for source in node.inputs)
        if node.op == "input":
            continue
        if node.op == "identity" or (_is_pool(node) and node.kernel == 1):
            same[index] = inputs[0]
        elif _is_projection(network, node) and num_readers[node.inputs[0]] == 1:
            found.append(_extended(found.pop(), node, index))
        else:
            found.append(_unit(network, node, inputs, index))
    return tuple(found)


def last_reads(network: Sequence[Unit]) -> tuple[frozenset[int], ...]:
    """List, for every unit, its inputs that no later unit reads."""
    later: set[int] = set()
    found = []
    for unit in reversed(network):
        found.append(frozenset(unit.inputs) - later)
        later |= set(unit.inputs)
    return tuple(reversed(found))


@functools.lru_cache(maxsize=8)
def space_signatures(
    space: SpaceConfig, config: NetworkConfig, images: ImageSpec
) -> tuple[UnitSignature, ...]:
    """List the signatures of all units that networks of a search space consist of.

    Args:
      space: the largest number of layers of a block, their types, and wirings.
      config: the stages; its width rule is `uniform`.
      images: shape of the images, and number of classes.
    """
    one_layer = [
        code
        for index in (1, 2)
        for code in legal_codes(index, space.types)
        if code.type != LayerType.TERMINAL
    ]
    blocks = [Block((code,)) for code in one_layer if code.index == 1]
    blocks += [Block((_side(1), code)) for code in one_layer if code.index == 2]
    # The output concatenates the sinks; in the extreme, every layer is one.
    blocks += [
        Block(tuple(_side(i) for i in range(1, n + 1)))
        for n in range(2, space.max_layers + 1)
    ]
    fitting = [block for block in blocks if len(block) <= space.max_layers]
    wirings = [0, *map(WIRINGS.index, space.wirings)]
    wired = [dataclasses.replace(b, wiring=w) for w in wirings for b in fitting]
    # No block has more repeats than the cheapest: it has one layer.
    stacked = (fitted(block, config, images) for block in wired)
    longest = max(stacked, key=lambda network: network.repeats)
    found = {
        unit.signature: None
        for block in wired
        for unit in units(
            plan(block, dataclasses.replace(longest, wiring=config.wiring), images)
        )
    }
    return tuple(found)


def _side(index: int) -> Layer:
    """Make a layer that is parallel to all others, and no unit: it computes nothing."""
    return Layer(index, LayerType.IDENTITY, 0, 0, 0)


def _is_pool(node: Node) -> bool:
    return node.op in ("max_pool", "average_pool")


def _is_projection(network: NetworkPlan, node: Node) -> bool:
    if node.op != "pcc" or node.kernel != 1:
        return False
    source = network.nodes[node.inputs[0]]
    return source.op == "concat" or (_is_pool(source) and source.stride == 2)


def _unit(
    network: NetworkPlan, node: Node, inputs: tuple[int, ...], index: int
) -> Unit:
    shapes = tuple(
        (n.height, n.width, n.channels) for n in (network.nodes[i] for i in inputs)
    )
    return Unit(UnitSignature((_bare(node),), shapes), (node.name,), inputs, index)


def _extended(unit: Unit, node: Node, index: int) -> Unit:
    nodes = (*unit.signature.nodes, _bare(node))
    signature = unit.signature._replace(nodes=nodes)
    return Unit(signature, (*unit.names, node.name), unit.inputs, index)


def _bare(node: Node) -> Node:
    """Drop the name and the position of a node."""
    return node._replace(name="unit", inputs=(), stage=0, repeat=0, layer=0)

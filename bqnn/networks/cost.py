"""Cost: parameters, FLOPs and memory of a network, from its plan, in exact integers."""

import functools
from typing import NamedTuple

from bqnn.config import BudgetConfig, NetworkConfig
from bqnn.layer_types import TYPES, LayerType
from bqnn.networks.nodes import (
    WIRING,
    Cost,
    ImageSpec,
    NetworkPlan,
    node_cost,
)
from bqnn.networks.plan import fitted, plan
from bqnn.space.known import as_block
from bqnn.space.nsc import Block, Layer, parse

ITEM_BYTES = {"float32": 4, "bfloat16": 2}
REFERENCE_BLOCK = parse("1,1,3,0,0;2,7,0,0,0")
"""One 3x3 PCC: the reward takes FLOPs and density relative to this block (ours)."""
_NETWORK, _IMAGES = NetworkConfig(), ImageSpec(32, 32, 3, 10)


class Density(NamedTuple):
    """Density of a block's graph: edges divided by nodes (the paper, the reward).

    The definition of nodes and edges is ours.

    Attributes:
      edges: one per predecessor, and one from every sink to the output.
      nodes: the input, the layers and the output.
    """

    edges: int
    nodes: int

    @property
    def value(self) -> float:
        """Edges divided by nodes."""
        return self.edges / self.nodes


class BlockCost(NamedTuple):
    """The cost of a block, stacked into a network.

    Attributes:
      params: trainable parameters of the network.
      network_flops: multiply-adds of the network, one image, forward.
      block_flops: multiply-adds of the first block, as the reward weighs them.
      density: edges over nodes of the block's graph.
      activations: numbers per image that the backward pass of the network keeps.
    """

    params: int
    network_flops: int
    block_flops: int
    density: float
    activations: int


def block_cost(
    block: Block | str,
    network: NetworkConfig = _NETWORK,
    images: ImageSpec = _IMAGES,
) -> BlockCost:
    """Work out what a block costs, untrained, in exact integers.

    >>> bqnn.cost("1,1,3,0,0").params
    788778

    Args:
      block: the block, its NSC text, or the name of a known one.
      network: how it is stacked.
      images: height, width and channels of the images, number of classes.

    Raises:
      NscError: if a text is not a block.
    """
    block = as_block(block)
    whole, flops = stacked_cost(block, network, images)
    edges_per_node = density(block).value
    return BlockCost(
        whole.params, whole.flops, flops, edges_per_node, whole.activations
    )


def network_cost(network: NetworkPlan) -> Cost:
    """Add up the whole network."""
    return _total([node_cost(network, node) for node in network.nodes])


def stacked_cost(
    block: Block, config: NetworkConfig, images: ImageSpec
) -> tuple[Cost, int]:
    """Return `network_cost` and `block_flops` of the network of a block.

    With the uniform width rule, the cost of a layer depends on its type and kernel
    alone, and that of all else on the number of sinks. So each is planned once: to plan
    every network was most of the master's work.
    """
    config = fitted(block, config, images)
    if config.width != "uniform":
        network = plan(block, config, images)
        return network_cost(network), block_flops(network)
    parts = [_rest(config, images, len(block.sinks))]
    parts += [_layer(config, images, x.type, x.kernel) for x in block.layers]
    flops = sum(part.first_flops for part in parts)
    total = _total([part.whole for part in parts])
    return total, max(_least_flops(config, images), flops)


class _Part(NamedTuple):
    """Cost of some nodes, and the FLOPs of those among them in the first block."""

    whole: Cost
    first_flops: int


@functools.lru_cache(maxsize=1024)
def _layer(config: NetworkConfig, images: ImageSpec, kind: int, kernel: int) -> _Part:
    """Return the cost of a layer in all its repeats."""
    preds = (0, 1) if TYPES[kind].num_predecessors == 2 else (0, 0)
    block = Block((*_identities(1).layers, Layer(2, kind, kernel, *preds)))
    return _part(plan(block, config, images), 2)


@functools.lru_cache(maxsize=1024)
def _rest(config: NetworkConfig, images: ImageSpec, sinks: int) -> _Part:
    """Return the cost of what is outside the layers: stem, head, sinks, wiring."""
    return _part(plan(_identities(sinks), config, images), 0, WIRING)


@functools.lru_cache(maxsize=1024)
def _least_flops(config: NetworkConfig, images: ImageSpec) -> int:
    return block_flops(plan(_identities(1), config, images))


def _identities(count: int) -> Block:
    """Make a block whose layers are all sinks."""
    kind = LayerType.IDENTITY
    return Block(tuple(Layer(i, kind, 0, 0, 0) for i in range(1, count + 1)))


def _part(network: NetworkPlan, *layers: int) -> _Part:
    nodes = [node for node in network.nodes if node.layer in layers]
    first = [node for node in nodes if (node.stage, node.repeat) == (1, 1)]
    costs, firsts = ([node_cost(network, n) for n in ns] for ns in (nodes, first))
    return _Part(_total(costs), _total(firsts).flops)


def layer_cost(
    network: NetworkPlan, layer: int, stage: int = 1, repeat: int = 1
) -> Cost:
    """Return the cost of a layer and of the projections that the width rule adds.

    Args:
      network: the plan.
      layer: the index of the layer; 0 for the concatenation of the sinks, `WIRING` for
        what connects the block with those before it.
      stage: the stage of the network, from 1.
      repeat: the repeat of the block in its stage, from 1.
    """
    position = (stage, repeat, layer)
    nodes = [n for n in network.nodes if (n.stage, n.repeat, n.layer) == position]
    return _total([node_cost(network, node) for node in nodes])


def block_flops(network: NetworkPlan) -> int:
    """Return the FLOPs of the first block of the first stage, a term of the reward.

    At least those of one 1x1 PCC, so that the reward can take the logarithm for a block
    without convolutions (ours).
    """
    nodes = [n for n in network.nodes if (n.stage, n.repeat) == (1, 1)]
    first = nodes[0]
    filters = network.nodes[first.inputs[0]].channels
    floor = filters * filters * first.height * first.width
    return max(floor, sum(node_cost(network, node).flops for node in nodes))


def density(block: Block) -> Density:
    """Count edges and nodes of the block's graph."""
    edges = sum(len(layer.predecessors) for layer in block.layers) + len(block.sinks)
    return Density(edges, len(block) + 2)


def activation_bytes(cost: Cost, batch: int, dtype: str) -> int:
    """Return the bytes that one training batch keeps for the backward pass."""
    return cost.activations * batch * ITEM_BYTES[dtype]


def over_budget(
    cost: Cost,
    batch: int,
    dtype: str,
    budget: BudgetConfig,
    latency: int | None = None,
) -> str:
    """Describe what exceeds the budget; empty if nothing does.

    Args:
      cost: of the whole network.
      batch: images of a training step.
      dtype: of the computation.
      budget: the limits.
      latency: of the network for one image, in nanoseconds, if it is known.
    """
    kept = activation_bytes(cost, batch, dtype)
    milliseconds = None if latency is None else latency / 1e6
    excesses = [
        f"{name} {value:,} over {limit:,}"
        for name, value, limit in (
            ("max_params", cost.params, budget.max_params),
            ("max_flops", cost.flops, budget.max_flops),
            ("max_activation_bytes", kept, budget.max_activation_bytes),
            ("max_latency", milliseconds, budget.max_latency),
        )
        if value is not None and limit is not None and value > limit
    ]
    return ", ".join(excesses)


def _total(costs: list[Cost]) -> Cost:
    return Cost(*(sum(cost[i] for cost in costs) for i in range(3)))

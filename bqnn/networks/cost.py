"""What a network costs, from its plan alone, in exact integers."""

import dataclasses
from typing import NamedTuple

from bqnn.config import BudgetConfig, NetworkConfig
from bqnn.networks.plan import ImageSpec, NetworkPlan, Node, plan
from bqnn.space.nsc import Block, as_block, parse

ITEM_BYTES = {"float32": 4, "bfloat16": 2}
REFERENCE_BLOCK = parse("1,1,3,0,0;2,7,0,0,0")
_NETWORK, _IMAGES = NetworkConfig(), ImageSpec(32, 32, 3, 10)


class Cost(NamedTuple):
    """The cost of one node, or the sum over several.

    Attributes:
      params: trainable parameters.
      flops: multiply-adds of convolutions and dense layers, one image, forward (He and
        Sun, *Convolutional neural networks at constrained time cost*, 2015).
      activations: numbers per image that the backward pass keeps: the output of every
        node, and in a PCC the convolution's output before normalisation as well.
    """

    params: int
    flops: int
    activations: int


class Density(NamedTuple):
    """Edges over nodes of a block's graph, input and output included.

    The paper, the reward; what counts as a node or an edge is ours.

    Attributes:
      edges: one per predecessor, and one from each sink to the output.
      nodes: the input, the layers and the output.
    """

    edges: int
    nodes: int

    @property
    def value(self) -> float:
        """Edges divided by nodes."""
        return self.edges / self.nodes


class BlockCost(NamedTuple):
    """What a block costs, stacked into a network.

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
      block: the block, or its NSC text.
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
    """Cost of the network of a block, and what `block_flops` says of it.

    What `network_cost` says of the whole plan, sooner: where all widths of a stage are
    equal, so are the repeats of a block, and only one of them is planned.
    """
    times = config.repeats if config.width == "uniform" else 1
    once = dataclasses.replace(config, repeats=config.repeats // times)
    network = plan(block, once, images)
    costs = [(node_cost(network, n), times if n.repeat else 1) for n in network.nodes]
    total = Cost(*(sum(cost[i] * n for cost, n in costs) for i in range(3)))
    return total, block_flops(network)


def layer_cost(
    network: NetworkPlan, layer: int, stage: int = 1, repeat: int = 1
) -> Cost:
    """Cost of a block's layer, with the projections that the width rule adds to it.

    Args:
      network: its plan.
      layer: its index; 0 for the concatenation of the sinks.
      stage: of the network, from 1.
      repeat: of the block in its stage, from 1.
    """
    where = (stage, repeat, layer)
    nodes = [n for n in network.nodes if (n.stage, n.repeat, n.layer) == where]
    return _total([node_cost(network, node) for node in nodes])


def block_flops(network: NetworkPlan) -> int:
    """FLOPs of the first block of the first stage, which the reward weighs.

    Never less than one 1x1 PCC, so that the logarithm of a block without convolutions
    exists (ours).
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
    """Bytes that one training batch keeps for the backward pass."""
    return cost.activations * batch * ITEM_BYTES[dtype]


def over_budget(cost: Cost, batch: int, dtype: str, budget: BudgetConfig) -> str:
    """Say what of `cost` exceeds the budget; empty if nothing does."""
    kept = activation_bytes(cost, batch, dtype)
    excesses = [
        f"{name} {value:,} over {limit:,}"
        for name, value, limit in (
            ("max_params", cost.params, budget.max_params),
            ("max_flops", cost.flops, budget.max_flops),
            ("max_activation_bytes", kept, budget.max_activation_bytes),
        )
        if value > limit
    ]
    return ", ".join(excesses)


def node_cost(network: NetworkPlan, node: Node) -> Cost:
    """Cost of one node."""
    size = node.height * node.width
    outputs = size * node.channels
    if node.op in ("stem", "pcc"):
        weights = (
            network.nodes[node.inputs[0]].channels * node.kernel**2 * node.channels
        )
        # Batch normalisation has a scale and a bias for every channel.
        return Cost(weights + 2 * node.channels, weights * size, 2 * outputs)
    if node.op == "head":
        weights = network.nodes[node.inputs[0]].channels * node.channels
        return Cost(weights + node.channels, weights, outputs)
    return Cost(0, 0, outputs)


def _total(costs: list[Cost]) -> Cost:
    return Cost(*(sum(cost[i] for cost in costs) for i in range(3)))

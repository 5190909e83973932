"""Nodes: the operations that a network consists of, and what each costs."""

from typing import NamedTuple

from bqnn.layer_types import is_own, own_kind

WIRING = -1
"""`Node.layer` of the nodes that connect the blocks of a stage."""


class ImageSpec(NamedTuple):
    """Shape of the images of a network, and its number of classes."""

    height: int
    width: int
    channels: int
    num_classes: int


class Node(NamedTuple):
    """One operation of the network.

    Attributes:
      name: unique, and the node's name in the parameter tree.
      op: a key of `bqnn.networks.layers.MODULES`, `input`, or that of a layer of the
        user's own.
      kernel: side of the window, 0 for operations without one.
      stride: 1, or 2 to halve height and width (rounded up).
      inputs: indices of the nodes that it reads, in order.
      height, width, channels: shape of its output; the head's channels are the classes.
      stage, repeat, layer: the position of its layer, each counted from 1. Layer 0
        joins the sinks of the block, layer `WIRING` connects it with blocks before it;
        stage 0 is outside the stages.
    """

    name: str
    op: str
    kernel: int
    stride: int
    inputs: tuple[int, ...]
    height: int
    width: int
    channels: int
    stage: int
    repeat: int
    layer: int


class NetworkPlan(NamedTuple):
    """A whole network: nodes in an order in which they can be computed.

    The first node is the image, the last one the logits.
    """

    nodes: tuple[Node, ...]


class Cost(NamedTuple):
    """Cost of one node, or the sum over several nodes.

    Attributes:
      params: trainable parameters.
      flops: multiply-adds of convolutions and dense layers for one image, forward (He
        and Sun, *Convolutional neural networks at constrained time cost*, 2015).
      activations: numbers per image that the backward pass keeps: the output of every
        node, and in a PCC or a separable convolution also that of every convolution
        before normalisation.
    """

    params: int
    flops: int
    activations: int


def node_cost(network: NetworkPlan, node: Node) -> Cost:
    """Return the cost of one node."""
    size = node.height * node.width
    outputs = size * node.channels
    if node.op in ("stem", "pcc"):
        weights = (
            network.nodes[node.inputs[0]].channels * node.kernel**2 * node.channels
        )
        # Batch normalisation has a scale and a bias for every channel.
        return Cost(weights + 2 * node.channels, weights * size, 2 * outputs)
    if node.op == "separable":
        channels = network.nodes[node.inputs[0]].channels
        weights = channels * (node.kernel**2 + node.channels)
        kept = 2 * outputs + size * channels
        return Cost(weights + 2 * node.channels, weights * size, kept)
    if node.op == "head":
        weights = network.nodes[node.inputs[0]].channels * node.channels
        return Cost(weights + node.channels, weights, outputs)
    if is_own(node.op):
        inputs = tuple(network.nodes[i].channels for i in node.inputs)
        count = own_kind(node.op).cost
        return Cost(*count(node.kernel, node.channels, inputs, node.height, node.width))
    return Cost(0, 0, outputs)

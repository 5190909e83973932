"""Plan: the nodes of the whole network that a block is stacked into.

The paper, stacking. Stems, heads, width rules and the max pooling between stages are
ours. Cost, network and drawings are all made from the plan, so they cannot disagree,
and the width rules are written once.
"""

from collections.abc import Iterable
from typing import NamedTuple

from bqnn.config import NetworkConfig
from bqnn.layer_types import TYPES
from bqnn.space.nsc import Block, Layer

# With `stem="auto"`, images of this height or more get the stem of ImageNet.
_TALL = 96
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


def plan(block: Block, config: NetworkConfig, images: ImageSpec) -> NetworkPlan:
    """Stack `block` into a network for `images`.

    Args:
      block: the block to repeat.
      config: stem, stages, wiring and width rule.
      images: shape of the images, and number of classes.
    """
    builder = _Builder(config.width == "uniform", config.separable_repeats)
    top = builder.start(images)
    top = _stem(builder, top, config)
    for stage, filters in enumerate(config.widths, 1):
        if stage > 1:
            top = _transition(builder, top, stage, filters)
        top = _stage(builder, top, block, config, (stage, filters))
    builder.add("head", "head", (top,), images.num_classes)
    return NetworkPlan(tuple(builder.nodes))


class _Builder:
    """Appends nodes, and computes their shapes."""

    def __init__(self, uniform: bool, separable_repeats: int) -> None:
        self.uniform, self.separable_repeats = uniform, separable_repeats
        self.nodes: list[Node] = []

    def start(self, images: ImageSpec) -> int:
        height, width, channels, _ = images
        image = Node("image", "input", 0, 1, (), height, width, channels, 0, 0, 0)
        self.nodes.append(image)
        return 0

    def add(
        self,
        name: str,
        op: str,
        inputs: Iterable[int],
        channels: int | None = None,
        *,
        kernel: int = 0,
        stride: int = 1,
        scope: tuple[int, int, int] = (0, 0, 0),
    ) -> int:
        """Append a node and return its index; `channels` defaults to its input's."""
        inputs = tuple(inputs)
        first = self.nodes[inputs[0]]
        self.nodes.append(
            Node(
                name,
                op,
                kernel,
                stride,
                inputs,
                1 if op == "head" else -(-first.height // stride),
                1 if op == "head" else -(-first.width // stride),
                first.channels if channels is None else channels,
                *scope,
            )
        )
        return len(self.nodes) - 1

    def channels(self, index: int) -> int:
        return self.nodes[index].channels

    def pcc(
        self,
        name: str,
        source: int,
        filters: int,
        kernel: int = 1,
        scope: tuple[int, int, int] = (0, 0, 0),
    ) -> int:
        return self.add(name, "pcc", (source,), filters, kernel=kernel, scope=scope)

    def separable(
        self,
        name: str,
        source: int,
        filters: int,
        kernel: int,
        scope: tuple[int, int, int],
    ) -> int:
        """Add separable convolutions, each of which normalises."""
        for before in range(self.separable_repeats, 0, -1):
            full = name if before == 1 else f"{name}_first"
            source = self.add(
                full, "separable", (source,), filters, kernel=kernel, scope=scope
            )
        return source

    def concat(
        self,
        name: str,
        inputs: tuple[int, ...],
        filters: int,
        scope: tuple[int, int, int],
    ) -> int:
        """Concatenate; with the uniform rule, project back to `filters`."""
        total = sum(map(self.channels, inputs))
        joined = self.add(name, "concat", inputs, total, scope=scope)
        if not self.uniform:
            return joined
        return self.pcc(f"{name}_project", joined, filters, scope=scope)

    def add_up(self, name: str, a: int, b: int, scope: tuple[int, int, int]) -> int:
        """Add; of two unequal widths, the narrower is projected to the wider."""
        if self.channels(a) != self.channels(b):
            narrow, wide = sorted((a, b), key=self.channels)
            filters = self.channels(wide)
            projected = self.pcc(f"{name}_project", narrow, filters, scope=scope)
            a, b = (projected, b) if narrow == a else (a, projected)
        return self.add(name, "add", (a, b), scope=scope)


def _stem(builder: _Builder, image: int, config: NetworkConfig) -> int:
    """Add the stem, without ReLU: every PCC begins with one."""
    filters = config.widths[0]
    tall = builder.nodes[image].height >= _TALL
    if config.stem == "imagenet" or (config.stem == "auto" and tall):
        stem = builder.add("stem", "stem", (image,), filters, kernel=7, stride=2)
        return builder.add("stem_pool", "max_pool", (stem,), kernel=3, stride=2)
    return builder.add("stem", "stem", (image,), filters, kernel=3)


def _transition(builder: _Builder, top: int, stage: int, filters: int) -> int:
    name = f"stage{stage}"
    pooled = builder.add(f"{name}_pool", "max_pool", (top,), kernel=2, stride=2)
    if not builder.uniform:
        return pooled
    return builder.pcc(f"{name}_project", pooled, filters)


def _stage(
    builder: _Builder,
    top: int,
    block: Block,
    config: NetworkConfig,
    stage: tuple[int, int],
) -> int:
    """Add the blocks of a stage on top of node `top`; `stage` is its number and width.

    With the wiring `residual`, the input of a block is added to its output (He et al.,
    2016); with `dense`, a block reads the outputs of all blocks before it and the
    input of the stage (Huang et al., 2017).
    """
    number, filters = stage
    outputs = [top]
    for repeat in range(1, config.repeats + 1):
        prefix, scope = f"stage{number}_block{repeat}", (number, repeat, WIRING)
        source = outputs[-1]
        if config.wiring == "dense" and repeat > 1:
            source = builder.concat(f"{prefix}_input", tuple(outputs), filters, scope)
        output = _block(builder, source, block, (number, repeat), filters)
        if config.wiring == "residual":
            output = builder.add_up(f"{prefix}_residual", source, output, scope)
        outputs.append(output)
    return outputs[-1]


def _block(
    builder: _Builder, top: int, block: Block, repeat: tuple[int, int], filters: int
) -> int:
    """Add a block on top of node `top`; `repeat` is its stage and repeat."""
    prefix = f"stage{repeat[0]}_block{repeat[1]}"
    nodes = [top]  # the node of every layer, that of the block's input first
    for layer in block.layers:
        inputs = tuple(nodes[pred] for pred in layer.predecessors)
        name, scope = f"{prefix}_layer{layer.index}", (*repeat, layer.index)
        nodes.append(_layer(builder, layer, name, inputs, filters, scope))
    sinks = tuple(nodes[sink] for sink in block.sinks)
    if len(sinks) == 1:
        return sinks[0]
    return builder.concat(f"{prefix}_output", sinks, filters, (*repeat, 0))


def _layer(
    builder: _Builder,
    layer: Layer,
    name: str,
    inputs: tuple[int, ...],
    filters: int,
    scope: tuple[int, int, int],
) -> int:
    match TYPES[layer.type].op:
        case "pcc":
            return builder.pcc(name, inputs[0], filters, layer.kernel, scope)
        case "separable":
            return builder.separable(name, inputs[0], filters, layer.kernel, scope)
        case "add":
            return builder.add_up(name, inputs[0], inputs[1], scope)
        case "concat":
            return builder.concat(name, inputs, filters, scope)
        case op:
            channels = filters if TYPES[layer.type].module else None
            return builder.add(
                name, op, inputs, channels, kernel=layer.kernel, scope=scope
            )

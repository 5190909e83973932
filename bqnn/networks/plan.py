"""The plan of a whole network: the one place where blocks are stacked.

The paper, stacking; what it leaves open is ours: stems, heads, width rules, max
pooling between stages.
Cost, building and drawing all read the plan, so they cannot disagree.
"""

from collections.abc import Iterable
from typing import NamedTuple

from bqnn.config import NetworkConfig
from bqnn.space.nsc import Block, Layer, LayerType

# Images from this height on are reduced at once, where the stem follows the data.
_TALL = 96


class ImageSpec(NamedTuple):
    """What goes into a network, and what it tells apart."""

    height: int
    width: int
    channels: int
    num_classes: int


class Node(NamedTuple):
    """One operation of the network.

    Attributes:
      name: unique, and the node's name in the parameter tree.
      op: a key of `bqnn.networks.layers.MODULES`, or `input`.
      kernel: side of the window, 0 where there is none.
      stride: 1, or 2 to halve height and width (rounded up).
      inputs: places of the nodes it reads, in order.
      height, width, channels: of its output; the head's channels are the classes.
      stage, repeat, layer: the layer of the block that it belongs to, each counted from
        1; layer 0 joins the block's sinks, stage 0 is outside the stages.
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
      config: stem, stages and width rule.
      images: shape of the images and number of classes.
    """
    builder = _Builder(config.width == "uniform")
    top = builder.start(images)
    top = _stem(builder, top, config)
    for stage, filters in enumerate(config.widths, 1):
        if stage > 1:
            top = _transition(builder, top, stage, filters)
        for repeat in range(1, config.repeats + 1):
            top = _block(builder, top, block, (stage, repeat), filters)
    builder.add("head", "head", (top,), images.num_classes)
    return NetworkPlan(tuple(builder.nodes))


class _Builder:
    """Appends nodes, working out their shapes."""

    def __init__(self, uniform: bool) -> None:
        self.uniform = uniform
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
        """Append a node and return its place; `channels` defaults to its input's."""
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

    def channels(self, place: int) -> int:
        return self.nodes[place].channels

    def pcc(
        self,
        name: str,
        source: int,
        filters: int,
        kernel: int = 1,
        scope: tuple[int, int, int] = (0, 0, 0),
    ) -> int:
        return self.add(name, "pcc", (source,), filters, kernel=kernel, scope=scope)

    def concat(
        self,
        name: str,
        inputs: tuple[int, ...],
        filters: int,
        scope: tuple[int, int, int],
    ) -> int:
        """Concatenate; with the uniform rule, project back to `filters`."""
        total = sum(self.channels(place) for place in inputs)
        joined = self.add(name, "concat", inputs, total, scope=scope)
        if not self.uniform:
            return joined
        return self.pcc(f"{name}_project", joined, filters, scope=scope)

    def add_up(self, name: str, a: int, b: int, scope: tuple[int, int, int]) -> int:
        """Add; the narrower of two unequal widths is projected to the wider."""
        if self.channels(a) != self.channels(b):
            narrow, wide = sorted((a, b), key=self.channels)
            filters = self.channels(wide)
            projected = self.pcc(f"{name}_project", narrow, filters, scope=scope)
            a, b = (projected, b) if narrow == a else (a, projected)
        return self.add(name, "add", (a, b), scope=scope)


def _stem(builder: _Builder, image: int, config: NetworkConfig) -> int:
    """Add the stem; for small and CIFAR images there is no ReLU, every PCC has one."""
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


def _block(
    builder: _Builder, top: int, block: Block, where: tuple[int, int], filters: int
) -> int:
    prefix = f"stage{where[0]}_block{where[1]}"
    places = [top]
    for layer in block.layers:
        inputs = tuple(places[pred] for pred in layer.predecessors)
        name, scope = f"{prefix}_layer{layer.index}", (*where, layer.index)
        places.append(_layer(builder, layer, name, inputs, filters, scope))
    sinks = tuple(places[sink] for sink in block.sinks)
    if len(sinks) == 1:
        return sinks[0]
    return builder.concat(f"{prefix}_output", sinks, filters, (*where, 0))


def _layer(
    builder: _Builder,
    layer: Layer,
    name: str,
    inputs: tuple[int, ...],
    filters: int,
    scope: tuple[int, int, int],
) -> int:
    match layer.type:
        case LayerType.CONVOLUTION:
            return builder.pcc(name, inputs[0], filters, layer.kernel, scope)
        case LayerType.MAX_POOLING:
            return builder.add(
                name, "max_pool", inputs, kernel=layer.kernel, scope=scope
            )
        case LayerType.AVERAGE_POOLING:
            return builder.add(
                name, "average_pool", inputs, kernel=layer.kernel, scope=scope
            )
        case LayerType.IDENTITY:
            return builder.add(name, "identity", inputs, scope=scope)
        case LayerType.ADD:
            return builder.add_up(name, inputs[0], inputs[1], scope)
        case _:
            return builder.concat(name, inputs, filters, scope)

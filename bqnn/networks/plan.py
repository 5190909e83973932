"""Plan: the nodes of the whole network that a block is stacked into.

The paper, stacking. Stems, heads, width rules and the max pooling between stages are
ours. Cost, network and drawings are all made from the plan, so they cannot disagree,
and the width rules are written once.
"""

import bisect
import dataclasses
import functools
from collections.abc import Callable, Iterable

from bqnn.config import NetworkConfig
from bqnn.config.network import MOST_BLOCKS, WIRINGS
from bqnn.layer_types import TYPES
from bqnn.networks.nodes import WIRING, ImageSpec, NetworkPlan, Node, node_cost
from bqnn.space.nsc import Block, Layer

# With `stem="auto"`, images of this height or more get the stem of ImageNet.
_TALL = 96


def plan(block: Block, config: NetworkConfig, images: ImageSpec) -> NetworkPlan:
    """Stack `block` into a network for `images`.

    Args:
      block: the block to repeat.
      config: stem, stages, wiring and width rule; `fitted` to the block.
      images: shape of the images, and number of classes.
    """
    config = fitted(block, config, images)
    builder = _Builder(config.width == "uniform", config.separable_repeats)
    top = builder.start(images)
    top = _stem(builder, top, config)
    for stage, filters in enumerate(config.widths, 1):
        if stage > 1:
            top = _transition(builder, top, stage, filters)
        top = _stage(builder, top, block, config, (stage, filters))
    builder.add("head", "head", (top,), images.num_classes)
    return NetworkPlan(tuple(builder.nodes))


def fitted(block: Block, config: NetworkConfig, images: ImageSpec) -> NetworkConfig:
    """Choose N, the blocks per stage, if the configuration has a budget for it.

    A block may say itself how it is wired. The network comes as close to `fit_params`
    or `fit_flops` as N from 1 to a total of `MOST_BLOCKS` allows; of two that come as
    close, the one with fewer blocks.

    Args:
      block: the block to repeat.
      config: how it is stacked.
      images: shape of the images, and number of classes.

    Returns:
      The configuration with the block's wiring, and `repeats` in place of the budget.
    """
    if block.wiring:
        config = dataclasses.replace(config, wiring=WIRINGS[block.wiring])
    return config if config.fit is None else _fitted(block, config, images, config.fit)


@functools.lru_cache(maxsize=1024)
def _fitted(
    block: Block, config: NetworkConfig, images: ImageSpec, fit: tuple[str, int]
) -> NetworkConfig:
    measure, target = fit
    fixed = dataclasses.replace(config, fit_params=None, fit_flops=None)
    cost = _costs(block, fixed, images, measure)
    most = MOST_BLOCKS // len(config.widths)
    above = bisect.bisect_left(range(1, most + 1), target, key=cost) + 1
    # Cost rises with every block or, if blocks cost nothing, never.
    near = {1, max(1, above - 1), min(above, most)}
    best = min(near, key=lambda repeats: (abs(cost(repeats) - target), repeats))
    return dataclasses.replace(fixed, repeats=best)


def _costs(
    block: Block, config: NetworkConfig, images: ImageSpec, measure: str
) -> Callable[[int], int]:
    """Make the function from blocks per stage to the cost of the network.

    With uniform widths it is a polynomial of degree 2: a block costs what the one
    before it does and, in the wiring `dense`, a constant more. So three plans are
    enough; native widths may grow without a rule.
    """

    @functools.cache
    def planned(repeats: int) -> int:
        whole = plan(block, dataclasses.replace(config, repeats=repeats), images)
        return sum(getattr(node_cost(whole, node), measure) for node in whole.nodes)

    if config.width != "uniform":
        return planned
    one, two, three = map(planned, (1, 2, 3))
    more = three - 2 * two + one

    def cost(repeats: int) -> int:
        n = repeats - 1
        return one + n * (two - one) + n * (n - 1) // 2 * more

    return cost


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

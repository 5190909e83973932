"""Tables of blocks: the best of a search, how evaluations ended, layers and costs."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rich.table import Column, Table

from bqnn.config import NetworkConfig, RewardConfig
from bqnn.final.selection import Front
from bqnn.layer_types import LayerType
from bqnn.networks import cost
from bqnn.networks.cost import Density
from bqnn.networks.nodes import WIRING, ImageSpec, NetworkPlan, Node
from bqnn.networks.plan import fitted, plan
from bqnn.report.foreign import foreign
from bqnn.report.layout import operation
from bqnn.report.table import folded, make_table, numbers, si
from bqnn.search.events import Evaluated
from bqnn.search.reward import penalties
from bqnn.search.summary import Summary
from bqnn.space.nsc import Block, Layer

_CELLS: dict[int, str] = {
    LayerType.CONVOLUTION: "ReLU, conv, norm",
    LayerType.SEPARABLE_CONVOLUTION: "ReLU, depthwise, 1x1, norm",
}


class NetworkSetting(NamedTuple):
    """A network that blocks are put into, and the images it is for."""

    network: NetworkConfig
    images: ImageSpec


def best_blocks(
    best: Sequence[Evaluated],
    before: Sequence[int] | None = None,
    setting: NetworkSetting | None = None,
) -> Table:
    """Tabulate the best blocks of a search, one row each; latencies if they are known.

    Args:
      best: best first.
      before: their ranks by other weights of the reward, for a column of its own.
      setting: of the search, for a column of N where that is chosen for every block.
    """
    fit = setting if setting and setting.network.fit else None
    ranks = [[str(rank)] for rank in range(1, len(best) + 1)]
    if before is not None:
        ranks = [[*rank, str(old)] for rank, old in zip(ranks, before, strict=True)]
    names = ["rank"] if before is None else ["rank", "before"]
    known = any(event.candidate.latency is not None for event in best)
    columns = "reward", "accuracy", "FLOPs", "density", "params"
    return make_table(
        f"The {len(best)} best blocks",
        [
            *(Column(name, justify="right") for name in names),
            folded("NSC"),
            *numbers(*columns, *(["N"] if fit else [])),
            *numbers(*(["latency"] if known else [])),
        ],
        (
            (
                *(*rank, *_block_cells(event), *_repeats(event.candidate.block, fit)),
                *(_latency_cells(event) if known else ()),
            )
            for rank, event in zip(ranks, best, strict=True)
        ),
    )


def front_blocks(front: Front) -> Table:
    """Tabulate the front of a search, the cheapest block first."""
    count = len(front.found)
    known = any(event.candidate.latency is not None for event in front.found)
    *others, last = "accuracy", *front.costs
    return make_table(
        f"The front: {count} blocks, none beaten in {', '.join(others)} and {last}",
        [
            Column("rank", justify="right"),
            folded("NSC"),
            *numbers("accuracy", "network FLOPs", "params"),
            *numbers(*(["latency"] if known else [])),
        ],
        (
            (
                str(rank),
                str(event.candidate.block),
                f"{event.evaluation.final:.2%}",
                si(event.candidate.network_flops),
                si(event.candidate.network_params),
                *(_latency_cells(event) if known else ()),
            )
            for rank, event in enumerate(front.found, 1)
        ),
    )


def front_line(front: Front) -> str:
    """Say what the hypervolume of a front is."""
    low, high = (
        [si(round(math.exp(end))) for end in ends] for ends in (front.low, front.high)
    )
    spans = (f"from {a} to {b}" for a, b in zip(low, high, strict=True))
    return (
        f"hypervolume {front.hypervolume:.4f}: the best accuracy within a limit on "
        f"{' and one on '.join(front.costs)}, on average over limits "
        f"{' and '.join(spans)}, evenly spaced by logarithm"
    )


def outcomes(summary: Summary) -> Table:
    """Tabulate how evaluations ended: status, candidates, repeats, the last cause."""
    return make_table(
        "How evaluations ended",
        ["status", *numbers("candidates", "tried again"), folded("the last cause")],
        (
            (
                str(status),
                str(summary.counts.get(status, 0)),
                str(summary.retries.get(status, 0)),
                foreign(summary.causes.get(status, "")),
            )
            for status in sorted({*summary.counts, *summary.retries})
        ),
    )


def block_layers(block: Block, name: str, setting: NetworkSetting) -> Table:
    """Tabulate the layers of a block in the first stage of a network.

    Args:
      block: the block.
      name: of the network.
      setting: the network, and the images it is for.
    """
    return make_table(
        f"Layers, in the first stage of the {name} network",
        [
            *(Column("layer", justify="right"), "operation", "predecessors"),
            *numbers("output", "params", "FLOPs"),
        ],
        _layer_rows(block, plan(block, *setting)),
    )


def block_costs(
    block: Block, settings: Mapping[str, NetworkSetting], config: RewardConfig
) -> Table:
    """Tabulate a block's N, costs in several networks, and what its reward loses."""
    density = cost.density(block)
    columns = "N", "params", "FLOPs", "block FLOPs", "FLOPs term", "density term"
    return make_table(
        f"Cost (density {density.edges}/{density.nodes} = {density.value:.3f}; reward "
        f"= accuracy - {config.mu:g} log(FLOPs) - {config.rho:g} log(density), "
        "relative to one 3x3 convolution)",
        [Column("network", justify="right"), *numbers(*columns)],
        (
            (
                name,
                *_repeats(block, setting),
                *_cost_cells(block, density, setting, config),
            )
            for name, setting in settings.items()
        ),
    )


def _block_cells(event: Evaluated) -> tuple[str, ...]:
    candidate = event.candidate
    return (
        str(candidate.block),
        f"{event.reward:.4f}",
        f"{event.evaluation.final:.2%}",
        si(candidate.block_flops),
        f"{Density(candidate.edges, candidate.nodes).value:.3f}",
        si(candidate.network_params),
    )


def _latency_cells(event: Evaluated) -> tuple[str]:
    latency = event.candidate.latency
    return ("" if latency is None else f"{latency / 1e6:.3g} ms",)


def _repeats(block: Block, setting: NetworkSetting | None) -> list[str]:
    return [str(fitted(block, *setting).repeats)] if setting else []


def _layer_rows(block: Block, network: NetworkPlan) -> Iterator[tuple[str, ...]]:
    nodes = [n for n in network.nodes if (n.stage, n.repeat) == (1, 1)]
    layers = [
        (str(layer.index), _describe(layer), _reads(layer.predecessors), layer.index)
        for layer in block.layers
    ]
    if len(block.sinks) > 1:
        layers.append(("output", "Concat", _reads(block.sinks), 0))
    for label, what, reads, index in layers:
        yield label, what, reads, *_layer_cells(network, nodes, index)
    if len(block.sinks) == 1:
        yield "output", "", str(block.sinks[0]), "", "", ""
    if any(node.layer == WIRING for node in nodes):
        yield "wiring", "Add", "input, output", *_layer_cells(network, nodes, WIRING)


def _layer_cells(
    network: NetworkPlan, nodes: Iterable[Node], layer: int
) -> tuple[str, ...]:
    last = [node for node in nodes if node.layer == layer][-1]
    whole = cost.layer_cost(network, layer)
    shape = f"{last.height}x{last.width}x{last.channels}"
    return shape, si(whole.params), si(whole.flops)


def _reads(predecessors: Iterable[int]) -> str:
    return ", ".join(str(p) if p else "input" for p in predecessors)


def _cost_cells(
    block: Block, density: Density, setting: NetworkSetting, config: RewardConfig
) -> tuple[str, ...]:
    network = plan(block, *setting)
    reference = (
        cost.block_flops(plan(cost.REFERENCE_BLOCK, *setting)),
        cost.density(cost.REFERENCE_BLOCK),
    )
    whole, flops = cost.network_cost(network), cost.block_flops(network)
    terms = penalties(flops, density, reference, config)
    return (
        si(whole.params),
        si(whole.flops),
        si(flops),
        *(f"{0.0 - term:+.2f} points" for term in terms),
    )


def _describe(layer: Layer) -> str:
    cell = _CELLS.get(layer.type)
    return operation(layer) + (f" ({cell})" if cell else "")

"""Tables for the terminal."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from rich.table import Table

from bqnn.config import NetworkConfig, RewardConfig
from bqnn.networks import cost
from bqnn.networks.cost import Density
from bqnn.networks.plan import ImageSpec, plan
from bqnn.report.foreign import foreign
from bqnn.report.layout import operation
from bqnn.search.events import Evaluated
from bqnn.search.reward import penalties, reference_block
from bqnn.search.summary import Summary
from bqnn.space.nsc import Block, Layer


class Setting(NamedTuple):
    """A network to put blocks into, and the images it is for."""

    network: NetworkConfig
    images: ImageSpec


def best_blocks(
    best: Sequence[Evaluated], before: Sequence[int] | None = None
) -> Table:
    """Tabulate the best blocks of a search, one row each.

    Args:
      best: best first.
      before: their ranks by other weights of the reward, for a column of its own.
    """
    table = _table(f"The {len(best)} best blocks", "rank")
    if before is not None:
        table.add_column("before", justify="right")
    table.add_column("NSC", overflow="fold", ratio=1)
    _add_numbers(table, "reward", "accuracy", "FLOPs", "density", "params")
    for rank, (candidate, evaluation, reward, _) in enumerate(best, 1):
        table.add_row(
            str(rank),
            *([] if before is None else [str(before[rank - 1])]),
            str(candidate.block),
            f"{reward:.4f}",
            f"{evaluation.accuracy[-1]:.2%}",
            si(candidate.block_flops),
            f"{Density(candidate.edges, candidate.nodes).value:.3f}",
            si(candidate.network_params),
        )
    return table


def outcomes(summary: Summary) -> Table:
    """Tabulate how evaluations ended: status, candidates, repeats, the last cause."""
    table = Table(title="How evaluations ended", title_justify="left")
    table.add_column("status")
    _add_numbers(table, "candidates", "tried again")
    table.add_column("the last cause", overflow="fold", ratio=1)
    for status in sorted({*summary.counts, *summary.retries}):
        table.add_row(
            str(status),
            str(summary.counts.get(status, 0)),
            str(summary.retries.get(status, 0)),
            foreign(summary.causes.get(status, "")),
        )
    return table


def block_layers(block: Block, name: str, setting: Setting) -> Table:
    """Tabulate the layers of a block in the first stage of a network.

    Args:
      block: the block.
      name: of the network.
      setting: the network, and the images it is for.
    """
    network = plan(block, *setting)
    table = _table(f"Layers, in the first stage of the {name} network", "layer")
    table.add_column("operation")
    table.add_column("predecessors")
    _add_numbers(table, "output", "params", "FLOPs")

    def add(label: str, what: str, preds: Sequence[int], layer: int) -> None:
        nodes = [n for n in network.nodes if (n.stage, n.repeat) == (1, 1)]
        last = [n for n in nodes if n.layer == layer][-1]
        shape = f"{last.height}x{last.width}x{last.channels}"
        whole = cost.layer_cost(network, layer)
        reads = ", ".join("input" if pred == 0 else str(pred) for pred in preds)
        table.add_row(label, what, reads, shape, si(whole.params), si(whole.flops))

    for layer in block.layers:
        add(str(layer.index), _describe(layer), layer.predecessors, layer.index)
    if len(block.sinks) > 1:
        add("output", "Concat", block.sinks, 0)
    else:
        table.add_row("output", "", str(block.sinks[0]), "", "", "")
    return table


def block_costs(
    block: Block, settings: Mapping[str, Setting], config: RewardConfig
) -> Table:
    """Tabulate what a block costs in several networks, and what its reward loses."""
    density = cost.density(block)
    table = _table(
        f"Cost (density {density.edges}/{density.nodes} = {density.value:.3f}; reward "
        f"= accuracy - {config.mu:g} log(FLOPs) - {config.rho:g} log(density), "
        "relative to one 3x3 convolution)",
        "network",
    )
    columns = "params", "FLOPs", "block FLOPs", "FLOPs term", "density term"
    _add_numbers(table, *columns)
    for name, setting in settings.items():
        network = plan(block, *setting)
        whole, flops = cost.network_cost(network), cost.block_flops(network)
        terms = penalties(flops, density, reference_block(*setting), config)
        table.add_row(
            name,
            si(whole.params),
            si(whole.flops),
            si(flops),
            *(f"{0.0 - term:+.2f} points" for term in terms),
        )
    return table


def si(value: int) -> str:
    """Write a count with three digits and a prefix: 36.9 k, 1.2 M."""
    for power, prefix in enumerate(("", " k", " M", " G", " T")):
        if value < 999.5 * 1000**power:
            return f"{value / 1000**power:.3g}{prefix}"
    # With native widths, some networks have more than a float holds.
    return f"{Decimal(value).normalize():.3g}"


def _describe(layer: Layer) -> str:
    name = operation(layer)
    return f"{name} (ReLU, conv, norm)" if layer.type == 1 else name


def _table(title: str, first: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, justify="right")
    return table


def _add_numbers(table: Table, *names: str) -> None:
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)

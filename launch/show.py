"""Show a block: its layers, what it costs in three networks, its graph.

  python -m launch.show --block='1,1,3,0,0;2,2,3,1,0;3,5,0,1,2;4,7,0,0,0' --out=b.svg
  python -m launch.show --block=resnet
  python -m launch.show --search=runs/first --limit=500000

A block is its Network Structure Code: layers joined by `;`, each of five integers
index,type,kernel,pred1,pred2. Types: 1 convolution (kernel 1, 3, 5), 2 max pooling and
3 average pooling (kernel 1, 3), 4 identity, 5 add, 6 concat (kernel 0), 7 terminal
(kernel 0, or how blocks are connected: 1 residual, 2 dense), 8 separable convolution
(kernel 3, 5; ours).
Blocks that people have drawn have names: vgg, resnet, bottleneck, inception, densenet,
resnext.

--search shows the front of a search: its blocks that no other beats in accuracy and in
the cost of the network. With --limit it shows the one to take: the most accurate within
it. A front may have two costs: --cost=flops --cost=params --limit=500000 --limit=20000.
"""

import dataclasses
from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console

from bqnn.config import Config, NetworkConfig
from bqnn.config.network import WIRINGS
from bqnn.errors import ConfigError
from bqnn.latency import table
from bqnn.networks.plan import ImageSpec, plan
from bqnn.report.block_tables import (
    NetworkSetting,
    block_costs,
    block_layers,
    front_blocks,
    front_line,
)
from bqnn.search.costs import COSTS
from bqnn.space import known, nsc
from bqnn.space.nsc import Block
from launch import cli
from launch.configs import quickstart

_BLOCK = flags.DEFINE_string(
    "block", None, "NSC of the block, or the name of a known one."
)
_SEARCH = flags.DEFINE_string("search", None, "Directory of a search.")
_COST = flags.DEFINE_multi_enum(
    "cost",
    [],
    [*COSTS],
    "With --search: which cost; by default those that it weighed. May be repeated.",
)
_LIMIT = flags.DEFINE_multi_integer(
    "limit",
    [],
    "With --search: the most that the block may cost; once for each cost, in order.",
    lower_bound=1,
)
_OUT = flags.DEFINE_string("out", None, "Draw the block to this .svg, .png or .dot.")
_NETWORK_OUT = flags.DEFINE_string(
    "network_out", None, "Draw the whole network, stage by stage, to such a file."
)

SETTINGS = {
    "quickstart": NetworkSetting(
        NetworkConfig(**quickstart.get_config().network), ImageSpec(8, 8, 1, 10)
    ),
    "cifar": NetworkSetting(Config().network, ImageSpec(32, 32, 3, 100)),
    "imagenet": NetworkSetting(
        NetworkConfig("imagenet", (64, 128, 256, 512), repeats=3),
        ImageSpec(224, 224, 3, 1000),
    ),
}

_LATENCY = flags.DEFINE_string(
    "latency",
    None,
    "Table of launch.latency, of the network and images of --network: print what it "
    "foretells of the block.",
)

_NETWORK = flags.DEFINE_enum(
    "network", "quickstart", SETTINGS, "Network to describe and to draw."
)
_WIRING = flags.DEFINE_enum(
    "wiring", "chain", WIRINGS, "How the networks wire the blocks of a stage."
)
_FIT_PARAMS = flags.DEFINE_integer(
    "fit_params", None, "Choose the blocks per stage by these parameters of a network."
)
_FIT_FLOPS = flags.DEFINE_integer(
    "fit_flops", None, "Choose them by these multiply-adds of a network for one image."
)


def main() -> None:
    """Print the tables of a block or a front, and draw the block if asked to."""
    console, text, search = cli.console(), _BLOCK.value, _SEARCH.value
    if text and not search:
        cli.refuse(("cost", "limit"), "without --search")
        return _show(known.parse(text), console)
    if text or not search:
        raise ConfigError("want --block=NSC or --search=DIR, one of them")
    from bqnn.final import selection

    front = selection.read_front(Path(search), _COST.value, _LIMIT.value)
    console.print(front_blocks(front))
    if not _LIMIT.value:
        cli.refuse(
            ("out", "network_out", "network", "latency"),
            "with --search, without --limit",
        )
        console.print(front_line(front), soft_wrap=True)
        return
    _show(front.best.candidate.block, console)


def _show(block: Block, console: Console) -> None:
    """Print the tables of a block, and draw its graph if asked to."""
    settings = {name: _as_asked(setting) for name, setting in SETTINGS.items()}
    setting = settings[_NETWORK.value]
    console.print(block_layers(block, _NETWORK.value, setting))
    console.print(block_costs(block, settings, Config().reward))
    console.print(f"NSC: {block}", soft_wrap=True, highlight=False)
    console.print(f"canonical hash: {nsc.canonical_hash(block)}", highlight=False)
    if name := known.name_of(block):
        drawn = known.KNOWN[name]
        console.print(f"known as {name}: {drawn.source}. {drawn.form}", highlight=False)
    if _LATENCY.value:
        foretold = table.read(Path(_LATENCY.value))
        latency = foretold.of(plan(block, *setting))
        console.print(f"latency: {latency:.3g} ms on {foretold.device}", soft_wrap=True)
    if _OUT.value or _NETWORK_OUT.value:
        from bqnn.report import draw
    if _OUT.value:
        draw.save(draw.block_drawing(block), Path(_OUT.value))
        console.print(f"drawn: {_OUT.value}", soft_wrap=True)
    if _NETWORK_OUT.value:
        whole = draw.network_drawing(plan(block, *setting))
        draw.save(whole, Path(_NETWORK_OUT.value))
        console.print(f"drawn: {_NETWORK_OUT.value}", soft_wrap=True)


def _as_asked(setting: NetworkSetting) -> NetworkSetting:
    asked: dict[str, Any] = {
        flag.name: flag.value for flag in (_WIRING, _FIT_PARAMS, _FIT_FLOPS)
    }
    network = dataclasses.replace(setting.network, **asked)
    return setting._replace(network=network)


if __name__ == "__main__":
    cli.run(main)

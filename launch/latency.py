"""Measure the latency of every layer of a space, on the machine that is to run it.

  python -m launch.latency --config=quickstart --out=latency.csv
  python -m launch.latency --config=cifar100_search --device=onnx --out=latency.csv

One image at a time, forward. The latency of a network is the sum over its units
(layers, with the projections that they need), corrected by a line that is fitted to
whole networks of random blocks: so it is known before a network is trained. With
--check=0 nothing is corrected. Let nothing else run beside it.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from absl import flags
from rich.console import Console

from bqnn import runtime
from bqnn.config import Config
from bqnn.errors import ConfigError
from launch import cli, config_flag

if TYPE_CHECKING:  # imports jax
    from bqnn.engines.units import UnitSignature
    from bqnn.latency.check import Check
    from bqnn.latency.table import LatencyTable
    from bqnn.latency.timing import Call, UnitCalls
    from bqnn.networks.plan import ImageSpec, NetworkPlan

_CONFIG = config_flag.define("search")
_OUT = flags.DEFINE_string("out", None, "The table, as csv.", required=True)
_DEVICE = flags.DEFINE_enum(
    "device",
    "cpu",
    ["cpu", "gpu", "onnx"],
    "What runs the networks: XLA on the CPU or on an accelerator, or ONNX Runtime on "
    "the CPU (pip install 'bqnn[onnx]').",
)
_CHECK = flags.DEFINE_integer(
    "check",
    50,
    "Networks of random blocks to measure whole; 0, or 10 and more.",
    lower_bound=0,
)


class _Calls(NamedTuple):
    """What times units and networks on a device.

    Attributes:
      device: its name.
      units: prepares a unit.
      network: prepares a network.
    """

    device: str
    units: "Callable[[UnitSignature], UnitCalls]"
    network: "Callable[[NetworkPlan], Call]"


def main() -> None:
    """Measure units, check what they add up to, and write the table."""
    if 0 < _CHECK.value < 10:
        raise ConfigError("--check: want 0, or 10 networks and more")
    config, console = config_flag.config_of(_CONFIG, Config), cli.console()
    if config.network.width != "uniform":
        raise ConfigError(
            "network.width: want uniform, whose networks consist of the same few units"
        )
    calls = _calls(config)

    from bqnn.data import load
    from bqnn.latency import table

    images = load(config.data).spec
    found = _measured(calls, config, images, console)
    if _CHECK.value:
        checked = _checked(calls, found, config, images, console)
        _report(checked, console)
        found = found._replace(offset=checked.offset, factor=checked.factor)
    table.write(found, Path(_OUT.value))
    console.print(f"{_OUT.value}: {len(found.units)} units on {found.device}")


def _calls(config: Config) -> _Calls:
    dtype = config.train.dtype
    runtime.configure_process(config.train.threads, runtime.default_cache_dir())
    if _DEVICE.value != "gpu":
        runtime.use_host_only()
    elif not runtime.accelerated():
        raise ConfigError("--device=gpu: jax has found no accelerator")
    if _DEVICE.value == "onnx":
        import onnxruntime

        from bqnn.export import onnx_calls

        # jax2onnx tells of every step.
        logging.getLogger().setLevel(logging.WARNING)
        version = f"onnxruntime {onnxruntime.__version__}, {runtime.device()}"
        return _Calls(version, onnx_calls.unit_calls, onnx_calls.network_call)
    from bqnn.latency import timing

    return _Calls(
        runtime.device(),
        lambda signature: timing.unit_calls(signature, dtype),
        lambda network: timing.network_call(network, dtype),
    )


def _measured(
    calls: _Calls, config: Config, images: "ImageSpec", console: Console
) -> "LatencyTable":
    from bqnn.engines.units import space_signatures
    from bqnn.latency import table, timing

    signatures = space_signatures(config.space, config.network, images)
    prepared = {}
    for on_unit in cli.progress(console, "units, prepared", len(signatures)):
        for signature in signatures:
            prepared[table.unit_name(signature)] = calls.units(signature)
            on_unit()
    for on_call in cli.progress(
        console, "units, measured", timing.ROUNDS * len(prepared)
    ):
        units = timing.measure_units(prepared, on_call)
    return table.LatencyTable(calls.device, units)


def _checked(
    calls: _Calls,
    found: "LatencyTable",
    config: Config,
    images: "ImageSpec",
    console: Console,
) -> "Check":
    from bqnn.latency import check, timing

    networks = dict(_random_networks(config, images))
    prepared = {}
    for on_network in cli.progress(console, "networks, prepared", len(networks)):
        for name, network in networks.items():
            prepared[name] = calls.network(network)
            on_network()
    jobs = timing.ROUNDS * len(prepared)
    for on_call in cli.progress(console, "networks, measured", jobs):
        whole = timing.measure(prepared, on_call)
    return check.check(
        [found.total(network) for network in networks.values()],
        [whole[name] for name in networks],
    )


def _random_networks(
    config: Config, images: "ImageSpec"
) -> "Iterator[tuple[str, NetworkPlan]]":
    from bqnn.final.rivals import Rivals, draw_rivals
    from bqnn.networks.plan import plan

    drawn = draw_rivals(Rivals((), _CHECK.value), config, config.search.seed, ())
    for name, block in drawn.items():
        yield name, plan(block, config.network, images)


def _report(checked: "Check", console: Console) -> None:
    from bqnn.latency.check import errors

    ranks, low, high = checked.ranks.spearman, *checked.ranks.interval
    console.print(
        f"{len(checked.measured)} networks of random blocks, "
        f"{checked.measured.min():.3g} to {checked.measured.max():.3g} ms: rank "
        f"correlation {ranks:.3f} ({low:.3f} to {high:.3f})"
    )
    line = f"{checked.offset:.3g} ms + {checked.factor:.3g} * the sum of units"
    for name, values in (
        ("the sum of units", checked.totals),
        (line, checked.foretold),
    ):
        median, most = errors(values, checked.measured)
        console.print(f"{name}: off by {median:.1%}, by {most:.1%} for one in twenty")


if __name__ == "__main__":
    cli.run(main)

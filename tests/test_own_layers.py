"""Layers of the user's own: the README's example, from its cost to a search."""

import importlib.metadata
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest

import bqnn
from bqnn import layer_types, own_layers
from bqnn.config import TrainConfig
from bqnn.data.batches import epoch_batches
from bqnn.engines.registry import ENGINES
from bqnn.engines.units import units
from bqnn.errors import ConfigError, NscError
from bqnn.export import manifest
from bqnn.export.export import WRITERS, export
from bqnn.export.manifest import ExportError
from bqnn.networks import cost
from bqnn.networks.network import (
    abstract_variables,
    init_variables,
    node_variables,
)
from bqnn.networks.plan import plan
from bqnn.report.draw import block_drawing
from bqnn.space.nsc import canonical_hash, parse
from tests.helpers import own_layer
from tests.helpers.blocks import random_block, reordered
from tests.helpers.networks import SPEC, random_dataset, small
from tests.helpers.paths import ROOT
from tests.helpers.trained_models import make_model

pytestmark = pytest.mark.quick_compilation

TYPES = (*layer_types.PAPER_TYPES, "gate")
MIXED = "1,1,3,0,0;2,6,0,0,1;3,21,3,1,2;4,7,0,0,0"
BLOCK = "1,1,3,0,0;2,20,0,1,0;3,5,0,0,2;4,7,0,0,0"
SEARCH = (
    *("--config=quickstart", "--layers=gate", "--workers=2"),
    *("--config.space.types=identity,gate", "--config.space.max_layers=2"),
    *("--config.agent.schedule=1.0:1", "--config.search.batch=3"),
    *("--config.agent.name=random", "--config.train.epochs=1"),
    *("--config.network.widths=(4,)", "--program_cache="),
)


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The README's layer, registered, and the folder of its file."""
    text = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n((?:(?!```).)*register_layer.*?)```", text, re.S)
    (tmp_path / "gate.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    own_layers.load_layers(["gate"])
    yield tmp_path
    layer_types.TYPES.pop(20, None)
    sys.modules.pop("gate", None)


mix = pytest.fixture(own_layer.registered)


def test_parameters_and_flops_are_those_of_the_network(gate: Path) -> None:
    rng = np.random.default_rng(0)
    for trial in range(100):
        network = plan(random_block(rng, 6, TYPES), small(repeats=1 + trial % 2), SPEC)
        params = abstract_variables(network)["params"]
        count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
        assert cost.network_cost(network).params == count
    found = cost.layer_cost(plan(parse(BLOCK), small(), SPEC), 2)
    # 4 channels, 8 x 8 pixels: a product of the pooled pixel, one of every pixel.
    assert found == (2 * (16 + 4), 16 * 65, 2 * 64 * 4)


def test_one_of_two_predecessors_costs_what_its_network_has(mix: None) -> None:
    rng = np.random.default_rng(0)
    for _ in range(8):
        block = random_block(rng, 6, (*layer_types.PAPER_TYPES, "mix"))
        for width in ("uniform", "native"):
            network = plan(block, small(width, wiring="dense", repeats=2), SPEC)
            params = abstract_variables(network)["params"]
            count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
            assert cost.network_cost(network).params == count
        again, _ = reordered(block, rng)
        assert canonical_hash(again) == canonical_hash(block)


@pytest.mark.parametrize(("block", "width"), [(BLOCK, "uniform"), (MIXED, "native")])
def test_it_is_walked_as_the_whole_network_is(
    gate: Path, mix: None, block: str, width: str
) -> None:
    shape = small(width, widths=(4,))
    network, data = plan(parse(block), shape, SPEC), random_dataset()
    batches = epoch_batches(64, 16, 0, 0)
    losses = []
    for name in ("walk", "step"):
        config = TrainConfig(batch=16, engine=name)
        engine = ENGINES[name](network, config, data)
        _, found = engine.train(engine.init(0), batches, 0.01, lambda: None)
        losses.append(found)
    assert np.isfinite(losses).all()
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    ops = {node.op for unit in units(network) for node in unit.signature.nodes}
    assert ops & {"own:gate", "own:mix"}


def test_its_initialisers_draw_it_by_the_seed_of_the_network(gate: Path) -> None:
    network = plan(parse(BLOCK), small(widths=(4,)), SPEC)
    drawn: Any = [init_variables(network, seed) for seed in (0, 0, 1)]
    kernels = [x["params"]["stage1_block1_layer2"]["value"]["kernel"] for x in drawn]
    assert (kernels[0] == kernels[1]).all() and (kernels[0] != kernels[2]).all()


def test_it_is_drawn_and_exported(gate: Path) -> None:
    assert ("2: Gate", "#0099CC") in block_drawing(parse(BLOCK)).boxes
    assert canonical_hash(parse(BLOCK)) != canonical_hash(parse("1,1,3,0,0;2,5,0,0,1"))
    model = make_model(BLOCK, SPEC, "uniform")
    for name in WRITERS:
        assert export(model, name, gate / name) < 1e-5
    del layer_types.TYPES[20]
    with pytest.raises(
        ExportError, match="json: block: layer .*own, give --layers=MODULE"
    ):
        manifest.read(gate / "flax")


def test_a_search_of_it_in_worker_processes_replays(gate: Path) -> None:
    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", f"launch.{program}", *arguments]
        environment = {"PYTHONPATH": str(ROOT), "HOME": str(gate)}
        return subprocess.run(
            [*command, "--workdir=found"],
            cwd=gate,
            env=environment,
            capture_output=True,
            text=True,
        )

    done = run("search", *SEARCH)
    assert done.returncode == 0, done.stderr
    assert "0 failed)" in done.stdout and ",20,0," in done.stdout
    assert run("replay", "--layers=gate").returncode == 0
    unknown = run("replay")
    assert unknown.returncode == 1
    assert "space.types has 'gate': want some of convolution" in unknown.stderr
    assert "give --layers=MODULE" in unknown.stderr
    assert "restore" not in unknown.stderr
    assert unknown.stderr.count("\n") == 1


def test_what_is_not_registered_is_refused() -> None:
    with pytest.raises(NscError, match="unknown type 20: want 1 convolution, "):
        parse(BLOCK)
    with pytest.raises(ConfigError, match="'no_such_module' cannot be imported"):
        own_layers.load_layers(["no_such_module"])


def test_an_installed_package_names_its_module(
    gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del layer_types.TYPES[20], sys.modules["gate"]
    found = importlib.metadata.EntryPoint("any", "gate", "bqnn.layers")
    entry_points = {"bqnn.layers": [found]}
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: entry_points[group]
    )
    own_layers.load_layers([])
    assert layer_types.TYPES[20].name == "gate"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"code": 8}, "code 8: want a number from 9 to 999"),
        ({"name": "Gate"}, "name 'Gate': want"),
        ({"name": "add"}, "there is add, 5: want another name and number"),
        ({"kernels": (9,)}, "want some of 0 to 7"),
        ({"colour": "red"}, "colour 'red': want #RRGGBB"),
        ({"module": "Gate"}, "module 'Gate': want a class of Flax modules"),
        (
            {"cost": lambda *_: (1, 2)},
            "gives \\(1, 2\\): want parameters, multiply-adds",
        ),
        ({"cost": lambda kernel: 1}, "gives TypeError: .* 5 were given: want"),
    ],
)
def test_a_bad_layer_is_refused(given: dict[str, Any], message: str) -> None:
    values = {"name": "own", "code": 9, "module": dict, "cost": dict, **given}
    with pytest.raises(ConfigError, match=message):
        bqnn.register_layer(**values)


class Plain(nn.Module):
    """A dense layer."""

    filters: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Map `[B, H, W, C]` to `[B, H, W, F]`."""
        return nn.Dense(self.filters)(x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda **_: Plain(3), "output is float32.1, 3, 5, 3.: want .*, 4"),
        (lambda **_: Plain(4), "it has 12 parameters, its cost says 8"),
        (lambda **_: nn.Dense(4), "TypeError: .* unexpected keyword argument 'train'"),
    ],
)
def test_a_module_that_is_not_as_it_must_be_is_refused(make: Any, message: str) -> None:
    def count(*_: Any) -> tuple[int, int, int]:
        return 8, 8, 8

    bqnn.register_layer("own", 9, make, count)
    try:
        with pytest.raises(ConfigError, match=f"layer own, kernel 0.*{message}"):
            node_variables("own:own", 0, 4, (2,))
        with pytest.raises(ConfigError, match="own cannot be sent to workers .*names"):
            own_layers.packed()
    finally:
        del layer_types.TYPES[9]


def test_a_worker_without_its_module_says_so() -> None:
    layers = b"cno_such_module\nLayer\n."  # a pickle that imports it
    with pytest.raises(ConfigError, match="'no_such_module'.: want its module on eve"):
        own_layers.unpack(layers)

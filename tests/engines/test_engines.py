"""One contract for all engines: the same parameters, losses, gradients, answers."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bqnn import runtime
from bqnn.config import NetworkConfig, TrainConfig
from bqnn.data.batches import Batches, all_batches, epoch_batches
from bqnn.engines import steps
from bqnn.engines.registry import ENGINES, engine_name
from bqnn.engines.unit_state import UnitState, init_states, unit_layout
from bqnn.engines.units import Unit, units
from bqnn.engines.walk import WalkEngine
from bqnn.evaluation.fit import fit
from bqnn.networks.network import Network, Variables, init_variables
from bqnn.networks.plan import plan
from bqnn.space.nsc import Block, parse
from tests.helpers.blocks import all_blocks, random_block
from tests.helpers.networks import SPEC, random_dataset, small

pytestmark = pytest.mark.quick_compilation

DATA = random_dataset(train=70, validation=40)
BLOCK = parse("1,1,3,0,0;2,2,3,1,0;3,5,0,0,2;4,6,0,0,3;5,3,3,3,0;6,4,0,0,0;7,8,3,5,0")
WIRED = parse("1,1,3,0,0;2,2,3,1,0")
WIDTHS = (4, 5)


def variables_of(
    network: Sequence[Unit], states: Sequence[UnitState], config: TrainConfig
) -> Variables:
    """Gather the variables of a network from its units: `init_states` undone."""
    found: dict[str, dict[str, Any]] = {"params": {}, "batch_stats": {}}
    for unit, state in zip(network, states, strict=True):
        layout = unit_layout(unit.signature, config)
        for kind, leaves, trees in (
            ("params", state.params, layout.params),
            ("batch_stats", state.batch_stats, layout.batch_stats),
        ):
            filled = jax.tree.unflatten(trees, leaves)
            named = zip(unit.names, filled, strict=True)
            found[kind].update({name: tree for name, tree in named if tree})
    return found


def _variables(name: str, engine: Any, state: Any) -> Any:
    if name == "walk":
        return variables_of(engine.units, state, engine.config)
    return {"params": state.params, "batch_stats": state.batch_stats}


@functools.cache
def _trained(name: str, block: Block, dtype: str, count: int = 3) -> Any:
    """Train a little, and return losses, variables and right answers."""
    config = TrainConfig(batch=16, dtype=dtype, engine=name)
    widths = WIDTHS if dtype == "float32" else WIDTHS[:1]
    network = plan(block, small(widths=widths), SPEC)
    engine = ENGINES[name](network, config, DATA)
    batches = epoch_batches(len(DATA.train.labels), config.batch, 0, 0)
    batches = jax.tree.map(lambda array: array[:count], batches)
    state, losses = engine.train(engine.init(0), batches, 0.01, lambda: None)
    correct = engine.count_correct(state, all_batches(40, config.batch))
    return losses, jax.device_get(_variables(name, engine, state)), correct


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["walk", "scan"])
def test_every_engine_trains_as_the_whole_network_does(name: str, dtype: str) -> None:
    ours, whole = _trained(name, BLOCK, dtype), _trained("step", BLOCK, dtype)
    tolerance = 1e-4 if dtype == "float32" else 0.05
    np.testing.assert_allclose(ours[0], whole[0], rtol=tolerance)
    chex.assert_trees_all_equal_structs(ours[1], whole[1])
    for one, other in zip(*map(jax.tree.leaves, (ours[1], whole[1])), strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    assert abs(ours[2] - whole[2]) <= (0 if dtype == "float32" else 4)


# Adam without memory divides by eps: a step of -rate / eps * gradient.
DESCENT = TrainConfig(batch=16, b1=0.0, b2=0.0, eps=1e6)


def test_walked_gradients_are_those_of_the_whole_network() -> None:
    """One step of plain gradient descent shows every gradient."""
    rng = np.random.default_rng(1)
    batches = jax.tree.map(lambda a: a[:1], epoch_batches(70, 16, 0, 0))
    read = jax.jit(functools.partial(steps.gather, mean=DATA.mean, std=DATA.std))
    images = read(DATA.train.images, batches.indices[0])
    labels = DATA.train.labels[batches.indices[0]]
    chain = small(widths=WIDTHS)
    wired = small(widths=WIDTHS[:1], repeats=3)
    for block, config in (
        (BLOCK, chain),
        (random_block(rng, 4), chain),
        (WIRED, dataclasses.replace(wired, wiring="residual")),
        (WIRED, dataclasses.replace(wired, wiring="dense")),
    ):
        network = plan(block, config, SPEC)
        variables = init_variables(network, 0)
        loss_fn = functools.partial(steps.loss_fn, Network(network))
        differentiate = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))
        given = variables["params"], variables["batch_stats"]
        (loss, stats), grads = differentiate(*given, images, labels)
        engine = WalkEngine(network, DESCENT, DATA)
        state, losses = engine.train(engine.init(0), batches, 1e6, lambda: None)
        walked = variables_of(engine.units, state, DESCENT)
        assert losses[0] == pytest.approx(float(loss), rel=1e-5)
        grads = jax.device_get(grads)
        assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
        moved = jax.tree.map(
            lambda a, b: np.asarray(a) - np.asarray(b),
            variables["params"],
            walked["params"],
        )
        scale = max(np.abs(g).max() for g in jax.tree.leaves(grads))
        for one, other in zip(*map(jax.tree.leaves, (moved, grads)), strict=True):
            np.testing.assert_allclose(one, other, atol=2e-3 * scale)
        for one, other in zip(
            *map(jax.tree.leaves, (walked["batch_stats"], stats)), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_every_legal_block_of_two_layers_trains_with_finite_gradients() -> None:
    # Walked: the programs of units are compiled once for all 152 blocks.
    drawn = np.tile(np.arange(64, dtype=np.int32), (2, 1))
    twice = Batches(drawn, np.ones(drawn.shape, bool))
    config = dataclasses.replace(DESCENT, batch=64)
    for block in all_blocks(2):
        network = plan(block, small(widths=(3, 4)), SPEC)
        engine = WalkEngine(network, config, DATA)
        # A gradient that is not finite leaves its parameter so, whatever its size.
        state, (loss, after) = engine.train(engine.init(0), twice, 1e4, lambda: None)
        found = jax.tree.leaves(variables_of(engine.units, state, config))
        assert all(np.isfinite(leaf).all() for leaf in found), str(block)
        assert after < loss, str(block)


def test_separable_convolutions_train_with_finite_gradients() -> None:
    drawn = np.arange(64, dtype=np.int32)[None]
    once = Batches(drawn, np.ones(drawn.shape, bool))
    config = dataclasses.replace(DESCENT, batch=64)
    for text in ("1,8,3,0,0;2,8,5,1,0", "1,8,5,0,0;2,5,0,0,1;3,8,5,0,0"):
        block = parse(text)
        network = plan(block, small(widths=(3, 4), separable_repeats=2), SPEC)
        engine = WalkEngine(network, config, DATA)
        state, _ = engine.train(engine.init(0), once, 1e4, lambda: None)
        found = jax.tree.leaves(variables_of(engine.units, state, config))
        assert all(np.isfinite(leaf).all() for leaf in found)


def test_walked_logits_of_evaluation_are_those_of_the_whole_network() -> None:
    config = TrainConfig(batch=16)  # as above: its programs are there
    network = plan(BLOCK, small(widths=WIDTHS), SPEC)
    engine = WalkEngine(network, config, DATA)
    state = engine.init(0)
    images = steps.gather(
        jnp.asarray(DATA.validation.images), jnp.arange(40), DATA.mean, DATA.std
    )
    apply = jax.jit(functools.partial(Network(network).apply, train=False))
    logits: Any = apply(init_variables(network, 0), images)
    right = int((logits.argmax(-1) == DATA.validation.labels).sum())
    assert engine.count_correct(state, all_batches(40, 16)) == right


def test_states_of_units_hold_all_variables_of_a_network() -> None:
    network = plan(BLOCK, small(), SPEC)
    variables, cut = init_variables(network, 3), units(network)
    config = TrainConfig()
    again = variables_of(cut, init_states(cut, variables, config), config)
    chex.assert_trees_all_equal_structs(again, variables)
    for one, other in zip(*map(jax.tree.leaves, (again, variables)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("no_program_store")
def test_the_second_candidate_compiles_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def compilations(block: Block) -> int:
        caplog.clear()
        # A recipe of this test alone, so that its first candidate compiles.
        config = TrainConfig(epochs=1, batch=16, eps=3e-7)
        network = plan(block, small(widths=WIDTHS), SPEC)
        with jax.log_compiles(), caplog.at_level("WARNING", logger="jax"):
            engine = WalkEngine(network, config, DATA)
            fit(engine, engine.init(0), config, DATA, 0)
        return sum("Compiling" in record.message for record in caplog.records)

    assert compilations(BLOCK) > 20
    # Other layers in another order, made of the same units.
    assert compilations(parse("1,3,3,0,0;2,1,3,1,0;3,2,3,0,0;4,5,0,1,2")) == 0


@pytest.mark.usefixtures("no_program_store")
@pytest.mark.parametrize("name", ["walk", "scan"])
def test_accelerators_train_with_programs_compiled_before(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "accelerated", lambda: True)
    # A recipe of this test alone; two layers read the block's input.
    config = TrainConfig(epochs=1, batch=16, eps=3e-6)
    network = plan(parse("1,1,1,0,0;2,5,0,0,1"), small(widths=WIDTHS[:1]), SPEC)
    engine = ENGINES[name](network, config, DATA)
    state = engine.init(0)
    with jax.log_compiles(), caplog.at_level("WARNING", logger="jax"):
        assert fit(engine, state, config, DATA, 0).finite
    compiled = [r.message for r in caplog.records if "Compiling" in r.message]
    assert not compiled


@pytest.mark.parametrize(
    ("accelerated", "width", "epochs", "name"),
    [
        (False, "uniform", 12, "walk"),
        (False, "native", 12, "step"),
        # 44 steps of 1,024 images an epoch: long from 23 epochs on.
        (True, "uniform", 22, "walk"),
        (True, "uniform", 23, "scan"),
        (True, "native", 1, "scan"),
    ],
)
def test_auto_suits_width_rule_backend_and_length(
    accelerated: bool,
    width: str,
    epochs: int,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "accelerated", lambda: accelerated)
    train, network = TrainConfig(epochs=epochs, batch=1024), NetworkConfig(width=width)
    assert engine_name(train, network, 45_999) == name
    assert engine_name(TrainConfig(engine="scan"), network, 10) == "scan"


def test_native_widths_can_be_walked_too() -> None:
    network = plan(parse("1,1,3,0,0;2,6,0,0,1"), small("native", widths=(3, 4)), SPEC)
    config = TrainConfig(batch=16)
    engine = WalkEngine(network, config, DATA)
    batches = epoch_batches(70, 16, 0, 0)
    _, losses = engine.train(engine.init(0), batches, 0.01, lambda: None)
    assert np.isfinite(losses).all()

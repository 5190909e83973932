"""Whole networks: shapes, width rules, initialisation, gradients."""

import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from jax import Array

from bqnn.config import NetworkConfig, TrainConfig
from bqnn.engines.steps import init_state, make_train_step
from bqnn.networks.network import Network, abstract_variables, init_variables
from bqnn.networks.plan import ImageSpec, NetworkPlan, plan
from bqnn.space import nsc
from bqnn.space.nsc import Block, parse
from tests.helpers.blocks import random_block, reordered
from tests.helpers.networks import SPEC, random_dataset, small

pytestmark = pytest.mark.quick_compilation


def _ops(network: NetworkPlan) -> list[tuple[str, tuple[int, int, int]]]:
    return [(n.op, (n.height, n.width, n.channels)) for n in network.nodes]


def test_cifar_network_of_the_paper() -> None:
    network = plan(parse("1,1,3,0,0"), NetworkConfig(), ImageSpec(32, 32, 3, 100))
    assert _ops(network) == [
        ("input", (32, 32, 3)),
        ("stem", (32, 32, 32)),
        *[("pcc", (32, 32, 32))] * 4,
        ("max_pool", (16, 16, 32)),
        ("pcc", (16, 16, 64)),
        *[("pcc", (16, 16, 64))] * 4,
        ("max_pool", (8, 8, 64)),
        ("pcc", (8, 8, 128)),
        *[("pcc", (8, 8, 128))] * 4,
        ("head", (1, 1, 100)),
    ]


def test_imagenet_stem_reduces_224_to_56() -> None:
    config = NetworkConfig("imagenet", (64, 128, 256, 512), repeats=3)
    network = plan(parse("1,1,3,0,0"), config, ImageSpec(224, 224, 3, 1000))
    assert _ops(network)[:4] == [
        ("input", (224, 224, 3)),
        ("stem", (112, 112, 64)),
        ("max_pool", (56, 56, 64)),
        ("pcc", (56, 56, 64)),
    ]
    assert _ops(network)[-2:] == [("pcc", (7, 7, 512)), ("head", (1, 1, 1000))]


BLOCK = parse("1,1,3,0,0;2,6,0,0,1;3,5,0,0,2;4,1,1,1,0")


def test_the_stem_may_follow_the_images() -> None:
    block, auto = nsc.parse("1,1,3,0,0"), NetworkConfig("auto", (8, 16))
    for side, stem in ((32, "cifar"), (95, "cifar"), (96, "imagenet")):
        images = ImageSpec(side, side, 3, 10)
        want = plan(block, NetworkConfig(stem, (8, 16)), images)
        assert plan(block, auto, images) == want


def test_uniform_width_projects_back_after_every_concatenation() -> None:
    network = plan(BLOCK, small(widths=(4,)), SPEC)
    assert [(n.name, n.op, n.channels) for n in network.nodes[2:-1]] == [
        ("stage1_block1_layer1", "pcc", 4),
        ("stage1_block1_layer2", "concat", 8),
        ("stage1_block1_layer2_project", "pcc", 4),
        ("stage1_block1_layer3", "add", 4),
        ("stage1_block1_layer4", "pcc", 4),
        ("stage1_block1_output", "concat", 8),
        ("stage1_block1_output_project", "pcc", 4),
    ]


def test_native_width_adds_and_projects_the_narrower_summand() -> None:
    network = plan(BLOCK, small("native", widths=(4, 6)), SPEC)
    nodes = [(n.name, n.op, n.channels) for n in network.nodes[2:-1]]
    assert nodes[:7] == [
        ("stage1_block1_layer1", "pcc", 4),
        ("stage1_block1_layer2", "concat", 8),
        ("stage1_block1_layer3_project", "pcc", 8),
        ("stage1_block1_layer3", "add", 8),
        ("stage1_block1_layer4", "pcc", 4),
        ("stage1_block1_output", "concat", 12),
        ("stage2_pool", "max_pool", 12),
    ]
    assert nodes[7] == ("stage2_block1_layer1", "pcc", 6)
    add = network.nodes[5]
    assert [network.nodes[i].name for i in add.inputs] == [
        "stage1_block1_layer3_project",
        "stage1_block1_layer2",
    ]


@pytest.mark.parametrize("width", ["uniform", "native"])
@pytest.mark.parametrize("stem", ["small", "cifar", "imagenet"])
def test_the_network_has_the_shapes_of_its_plan(width: str, stem: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(4):
        network = plan(random_block(rng, 6), small(width, stem=stem), SPEC)
        logits = jax.eval_shape(
            lambda v, x, network=network: Network(network).apply(v, x, train=False),
            abstract_variables(network),
            jax.ShapeDtypeStruct((5, 8, 8, 1), jnp.float32),
        )
        assert logits.shape == (5, 10)


def test_drawn_variables_are_those_of_flax_in_shape_and_in_spread() -> None:
    network = plan(parse("1,1,5,0,0;2,1,1,0,0"), small(widths=(64, 32)), SPEC)
    drawn = traverse_util.flatten_dict(dict(init_variables(network, 0)))
    init = jax.jit(functools.partial(Network(network).init, train=False))
    real: Any = init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    flat = traverse_util.flatten_dict(real)
    assert drawn.keys() == flat.keys()
    for path, leaf in flat.items():
        assert drawn[path].shape == leaf.shape
        assert drawn[path].dtype == leaf.dtype
        if path[-1] != "kernel":
            np.testing.assert_array_equal(drawn[path], leaf)
        elif leaf.size > 5000:
            fan_in = np.prod(leaf.shape[:-1])
            want = np.sqrt(2 / fan_in)
            assert np.std(drawn[path]) == pytest.approx(want, rel=0.05)
            assert np.std(leaf) == pytest.approx(want, rel=0.05)


def test_seeds_decide_the_draws() -> None:
    network = plan(parse("1,1,3,0,0"), small(), SPEC)
    one, same, other = (
        jax.tree.leaves(init_variables(network, seed)) for seed in (1, 1, 2)
    )
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


def _transfer(block: Block, other: Block, places: dict[int, int], weights: Any) -> Any:
    """Give `other`, a reordering of `block`, the weights of the same layers."""
    old = {new: layer for layer, new in places.items()}
    moved = {}
    for path, value in traverse_util.flatten_dict(dict(weights), sep="/").items():
        layer = re.search(r"_layer(\d+)", path)
        is_projection = "_project" in path and path.endswith("kernel")
        if layer:
            new = places[int(layer[1])]
            reads = [old[p] for p in other.layers[new - 1].predecessors]
            path = path.replace(layer[0], f"_layer{new}")
        elif "output_project" in path:
            reads = [old[sink] for sink in other.sinks]
        moved[path] = value
        if is_projection and (layer or "output" in path):
            moved[path] = _permute(value, reads, sorted(reads))
    return traverse_util.unflatten_dict(moved, sep="/")


def _permute(kernel: Array, order: list[int], original: list[int]) -> Array:
    """Reorder groups of input channels of a 1x1 kernel."""
    groups = dict(zip(original, jnp.split(kernel, len(original), axis=2), strict=True))
    return jnp.concatenate([groups[key] for key in order], axis=2)


def test_blocks_of_one_hash_are_one_function_up_to_a_permutation_of_weights() -> None:
    rng = np.random.default_rng(3)
    x = jnp.asarray(rng.standard_normal((4, 8, 8, 1), np.float32))
    changed = 0
    for _ in range(12):
        block = random_block(rng, 7)
        other, places = reordered(block, rng)
        changed += other != block
        assert nsc.canonical_hash(other) == nsc.canonical_hash(block)
        config = small(widths=(3, 4))
        variables = init_variables(plan(block, config, SPEC), 0)
        moved = _transfer(block, other, places, variables)
        one: Any = Network(plan(block, config, SPEC)).apply(variables, x, train=False)
        two: Any = Network(plan(other, config, SPEC)).apply(moved, x, train=False)
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)
    assert changed > 5


def test_bfloat16_computes_near_float32_and_keeps_float32_parameters() -> None:
    network = plan(BLOCK, small(), SPEC)
    data = random_dataset()
    losses = {}
    for dtype in ("float32", "bfloat16"):
        config = TrainConfig(dtype=dtype)
        module = Network(network, jnp.dtype(dtype))
        step = make_train_step(module, config, data.mean, data.std)
        state = init_state(network, config, 0)
        drawn = np.arange(32, dtype=np.int32)
        with jax.numpy_dtype_promotion("standard"):  # as flax's BatchNorm needs
            state, loss = jax.jit(step)(state, *data.train, drawn, np.float32(0.001))
        losses[dtype] = float(loss)
        leaves = jax.tree.leaves((state.params, state.batch_stats))
        assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}
    assert losses["float32"] != losses["bfloat16"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)

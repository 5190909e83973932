"""Costs from the code alone, against hand counts and the initialised network."""

import dataclasses
import math

import jax
import numpy as np
import pytest
from flax import traverse_util

from bqnn.config import BudgetConfig, NetworkConfig
from bqnn.config.network import WIRINGS
from bqnn.networks import cost
from bqnn.networks.cost import Cost, Density
from bqnn.networks.network import abstract_variables
from bqnn.networks.plan import WIRING, ImageSpec, plan
from bqnn.space.nsc import parse
from tests.helpers.blocks import ALL_TYPES, random_block
from tests.helpers.networks import SPEC, small

CIFAR = ImageSpec(32, 32, 3, 100)


def test_cost_of_one_convolution_counted_by_hand() -> None:
    network = plan(parse("1,1,3,0,0"), NetworkConfig(repeats=1, widths=(4, 8)), CIFAR)
    whole = cost.network_cost(network)
    # Stem 3x3x3x4, block 3x3x4x4, transition 1x1x4x8, block 3x3x8x8, dense 8x100; a
    # convolution has a scale and a bias for every filter, the dense layer a bias.
    weights = 108 + 144 + 32 + 576
    assert whole.params == weights + 2 * (4 + 4 + 8 + 8) + 8 * 100 + 100
    assert whole.flops == (108 + 144) * 1024 + (32 + 576) * 256 + 800
    # Convolutions keep two tensors, the image, the pooled tensor and the logits one.
    kept = 3 * 1024 + 2 * (4 + 4) * 1024 + 4 * 256 + 2 * (8 + 8) * 256 + 100
    assert whole.activations == kept
    assert cost.activation_bytes(whole, 10, "float32") == kept * 40
    assert cost.activation_bytes(whole, 10, "bfloat16") == kept * 20


def test_flops_of_a_block_count_what_the_width_rule_adds() -> None:
    config = small(widths=(4,))
    two = plan(parse("1,1,3,0,0;2,1,5,0,0"), config, SPEC)
    # 3x3x4x4 and 5x5x4x4, and the 1x1 projection of the concatenated sinks, 8 to 4.
    assert cost.block_flops(two) == (144 + 400 + 32) * 64
    assert cost.layer_cost(two, 2).flops == 400 * 64
    assert cost.layer_cost(two, 0) == Cost(32 + 8, 32 * 64, 8 * 64 + 2 * 4 * 64)
    native = plan(parse("1,1,3,0,0;2,1,5,0,0"), small("native", widths=(4,)), SPEC)
    assert cost.block_flops(native) == (144 + 400) * 64


def test_flops_of_a_block_do_not_depend_on_repeats_or_later_stages() -> None:
    block = parse("1,1,3,0,0;2,6,0,0,1;3,1,5,0,0")
    for width in ("uniform", "native"):
        one = cost.block_flops(plan(block, small(width), SPEC))
        many = small(width, repeats=3, widths=(4, 9))
        assert cost.block_flops(plan(block, many, SPEC)) == one


@pytest.mark.parametrize("width", ["uniform", "native"])
def test_the_quick_cost_of_a_stack_is_that_of_its_plan(width: str) -> None:
    config = NetworkConfig(repeats=4, widths=(4, 8), width=width)
    rng = np.random.default_rng(0)
    for _ in range(30):
        block = random_block(rng, 12, ALL_TYPES)
        network = plan(block, config, CIFAR)
        want = cost.network_cost(network), cost.block_flops(network)
        assert cost.stacked_cost(block, config, CIFAR) == want


def test_a_block_without_convolutions_counts_as_one_projection() -> None:
    network = plan(parse("1,4,0,0,0"), small(), SPEC)
    assert cost.block_flops(network) == 4 * 4 * 64


@pytest.mark.parametrize(
    ("text", "edges", "nodes"),
    [
        ("1,1,3,0,0", 2, 3),
        ("1,1,3,0,0;2,1,3,1,0", 3, 4),
        ("1,1,3,0,0;2,2,3,1,0;3,5,0,1,2", 5, 5),
        ("1,1,3,0,0;2,1,3,0,0;3,1,3,0,0", 6, 5),
    ],
)
def test_density_is_edges_over_nodes(text: str, edges: int, nodes: int) -> None:
    assert cost.density(parse(text)) == Density(edges, nodes)


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("width", ["uniform", "native"])
def test_costs_are_those_of_the_initialised_network(width: str, wiring: str) -> None:
    rng = np.random.default_rng(0)
    for trial in range(200 if width == "uniform" else 25):
        # Native widths explode: short blocks and narrow stages keep arrays abstract
        # but countable.
        longest = 23 if width == "uniform" and trial < 20 else 5
        block = random_block(rng, longest, ALL_TYPES)
        widths = tuple(int(w) for w in rng.integers(1, 9, rng.integers(1, 4)))
        stem = ("small", "cifar", "imagenet")[trial % 3]
        again = {"repeats": 1 + trial % 3, "separable_repeats": 1 + trial // 2 % 2}
        config = small(width, widths=widths, stem=stem, wiring=wiring, **again)
        network = plan(block, config, SPEC)
        params = abstract_variables(network)["params"]
        count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
        whole = cost.network_cost(network)
        assert whole.params == count, str(block)
        pixels = {node.name: node.height * node.width for node in network.nodes}
        weights = traverse_util.flatten_dict(params)
        assert whole.flops == sum(
            math.prod(leaf.shape) * pixels[path[0]]
            for path, leaf in weights.items()
            if path[-1] == "kernel"
        )
        assert cost.stacked_cost(block, config, SPEC)[0] == whole


def test_what_wirings_add_counted_by_hand() -> None:
    block, chain = parse("1,1,3,0,0"), small(widths=(4,), repeats=3)
    whole = cost.network_cost(plan(block, chain, SPEC))
    residual, dense = (
        plan(block, dataclasses.replace(chain, wiring=wiring), SPEC)
        for wiring in ("residual", "dense")
    )
    # Three sums of 8x8x4 numbers.
    more = Cost(0, 0, 3 * 256)
    assert cost.network_cost(residual) == Cost(*map(sum, zip(whole, more, strict=True)))
    assert cost.layer_cost(residual, WIRING) == Cost(0, 0, 256)
    # The second block reads two outputs of four filters, the third one three; both are
    # projected to four filters.
    second, third = Cost(40, 2048, 512 + 512), Cost(56, 3072, 768 + 512)
    assert cost.layer_cost(dense, WIRING) == Cost(0, 0, 0)
    assert cost.layer_cost(dense, WIRING, repeat=2) == second
    assert cost.layer_cost(dense, WIRING, repeat=3) == third
    total = zip(whole, second, third, strict=True)
    assert cost.network_cost(dense) == Cost(*map(sum, total))


def test_native_widths_are_counted_far_beyond_64_bits() -> None:
    # Every Concat joins the two layers before it: widths grow as Fibonacci numbers, and
    # compound from block to block.
    concats = [f"{i},6,0,{i - 2},{i - 1}" for i in range(2, 24)]
    text = ";".join(["1,4,0,0,0", *concats])
    config = NetworkConfig(width="native")
    whole = cost.network_cost(plan(parse(text), config, CIFAR))
    assert whole.activations > 2**63
    assert isinstance(whole.activations, int)


def test_a_budget_names_what_is_exceeded() -> None:
    budget = BudgetConfig(max_params=10, max_flops=100, max_activation_bytes=1000)
    assert cost.over_budget(Cost(10, 100, 25), 10, "float32", budget) == ""
    over = cost.over_budget(Cost(1011, 101, 26), 10, "float32", budget)
    assert over == (
        "max_params 1,011 over 10, max_flops 101 over 100, "
        "max_activation_bytes 1,040 over 1,000"
    )

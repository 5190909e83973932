"""N, the blocks per stage, that a budget chooses: by hand, and beside every other N."""

import dataclasses

import numpy as np
import pytest

from bqnn.config import NetworkConfig, SpaceConfig
from bqnn.config.network import WIRINGS
from bqnn.engines.units import space_signatures, units
from bqnn.networks.cost import network_cost, stacked_cost
from bqnn.networks.plan import ImageSpec, fitted, plan
from bqnn.search.problem import make_candidate
from bqnn.space.known import parse
from tests.helpers.blocks import random_block
from tests.helpers.networks import SPEC, small
from tests.helpers.searches import problem_of, tiny_config


# One stage of 4 filters: 3x3x1x4 + 8 of the stem, 4x10 + 10 of the head, and for every
# 3x3 convolution 3x3x4x4 + 8: 94 + 152 N parameters; 64 (36 + 144 N) + 40 FLOPs.
@pytest.mark.parametrize(
    ("field", "target", "repeats"),
    [
        ("fit_params", 1, 1),
        ("fit_params", 94 + 152 * 3, 3),
        ("fit_params", 94 + 152 * 3 + 76, 3),  # as near to 4: fewer blocks
        ("fit_params", 94 + 152 * 3 + 77, 4),
        ("fit_params", 10**9, 100),
        ("fit_flops", 64 * (36 + 144 * 7) + 40, 7),
        ("fit_params", None, 2),
    ],
)
def test_a_budget_worked_by_hand(field: str, target: int | None, repeats: int) -> None:
    fixed = small(widths=(4,), repeats=2)
    budget = small("uniform", **{"widths": (4,), "repeats": 2, field: target})
    found = fitted(parse("1,1,3,0,0"), budget, SPEC)
    assert found == dataclasses.replace(fixed, repeats=repeats)


def test_blocks_without_parameters_are_stacked_once() -> None:
    network = small(fit_params=10**6)
    assert fitted(parse("1,2,3,0,0"), network, SPEC).repeats == 1


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("width", ["uniform", "native"])
def test_no_other_number_of_blocks_comes_closer(width: str, wiring: str) -> None:
    rng = np.random.default_rng(0)
    fixed = small(width, widths=(2, 3, 4, 4, 3), wiring=wiring)
    for trial in range(8):
        block = random_block(rng, 6)
        measure = ("params", "flops")[trial % 2]
        costs = {}
        for repeats in range(1, 21):
            whole = plan(block, dataclasses.replace(fixed, repeats=repeats), SPEC)
            costs[repeats] = getattr(network_cost(whole), measure)
        target = round(costs[1] * rng.uniform(0.5, 20))
        best = min(costs, key=lambda n: (abs(costs[n] - target), n))
        budget = dataclasses.replace(
            fixed,
            fit_params=target if measure == "params" else None,
            fit_flops=target if measure == "flops" else None,
        )
        assert fitted(block, budget, SPEC).repeats == best, str(block)
        assert plan(block, budget, SPEC) == plan(
            block, dataclasses.replace(fixed, repeats=best), SPEC
        )
        assert getattr(stacked_cost(block, budget, SPEC)[0], measure) == costs[best]


def test_a_block_may_have_a_wiring_of_its_own() -> None:
    text, network = "1,1,3,0,0;2,2,3,0,0;3,7,{},0,0", small(repeats=3, wiring="dense")
    blocks = [parse(text.format(kernel)) for kernel in range(3)]
    plain = blocks[0]
    for block, wiring in zip(blocks, ("dense", "residual", "dense"), strict=True):
        wired = dataclasses.replace(network, wiring=wiring)
        assert plan(block, network, SPEC) == plan(plain, wired, SPEC)
        assert stacked_cost(block, network, SPEC) == stacked_cost(plain, wired, SPEC)
    signatures = space_signatures(SpaceConfig(2, wirings=("residual",)), network, SPEC)
    for block in blocks[:2]:
        cut = units(plan(block, network, SPEC))
        assert {unit.signature for unit in cut} <= {*signatures}


def test_a_candidate_costs_what_its_fitted_network_does() -> None:
    config = tiny_config(network={"fit_params": 2000})
    for text in ("1,1,1,0,0", "1,1,3,0,0"):
        candidate = make_candidate(problem_of(config), parse(text))
        network = plan(candidate.block, config.network, SPEC)
        assert candidate.network_params == network_cost(network).params
        assert candidate.network_params == pytest.approx(2000, abs=76)


@pytest.mark.parametrize("wiring", WIRINGS)
def test_all_units_of_fitted_networks_are_known(wiring: str) -> None:
    network = small(widths=(2, 3), fit_params=1000, wiring=wiring)
    known = set(space_signatures(SpaceConfig(4), network, SPEC))
    rng = np.random.default_rng(0)
    for _ in range(40):
        cut = units(plan(random_block(rng, 4), network, SPEC))
        assert known.issuperset(unit.signature for unit in cut)


def test_the_networks_of_the_paper_come_near_ten_million_parameters() -> None:
    network = NetworkConfig(fit_params=10_000_000)
    whole, _ = stacked_cost(parse("resnet"), network, ImageSpec(32, 32, 3, 100))
    assert whole.params == pytest.approx(10_000_000, rel=0.03)

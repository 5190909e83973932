"""The reward, worked by hand."""

import dataclasses
from typing import Any

import pytest

from bqnn.config import NetworkConfig, RewardConfig
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.networks.cost import Density
from bqnn.search.calibration import Fit
from bqnn.search.problem import with_fit
from bqnn.search.reward import (
    last_accuracy,
    make_reward,
    penalties,
    reference_block,
)
from bqnn.space.nsc import parse
from tests.helpers.searches import SPEC, problem_of, tiny_config

NETWORK = NetworkConfig(widths=(4,), stem="small", repeats=1)
FLOPS, DENSITY = reference_block(NETWORK, SPEC)


def _candidate(flops: int = FLOPS, density: Density = DENSITY) -> Candidate:
    return Candidate(0, 0, parse("1,1,3,0,0"), "", 0, flops, *density, 0, 0)


def _reward(candidate: Candidate, evaluation: Evaluation, **weights: Any) -> float:
    return make_reward(RewardConfig(**weights), NETWORK, SPEC)(candidate, evaluation)


def test_the_reference_block_is_rewarded_its_accuracy() -> None:
    # Input, one convolution, output. 3x3 cells from 4 to 4 channels on 8x8 images.
    assert Density(2, 3) == DENSITY
    assert FLOPS == 9 * 4 * 4 * 64
    assert _reward(_candidate(), Evaluation(Status.OK, (0.5,))) == 0.5


def test_reward_worked_by_hand() -> None:
    costly = _candidate(4 * FLOPS, Density(6, 5))
    evaluation = Evaluation(Status.OK, (0.2, 0.65))
    # 65 - ln 4 - 8 ln (1.2 / 0.6667) = 65 - 1.3863 - 4.7023 = 58.9114 points.
    got = _reward(costly, evaluation, mu=1, rho=8)
    assert got == pytest.approx(0.589114, abs=1e-6)
    terms = penalties(
        4000, Density(6, 5), (1000, Density(2, 3)), RewardConfig(mu=1, rho=8)
    )
    assert terms == pytest.approx((1.3863, 4.7023), abs=1e-4)
    assert _reward(costly, evaluation, mu=0, rho=0) == 0.65


def test_accuracy_alone_has_no_terms() -> None:
    costly = _candidate(4 * FLOPS, Density(6, 5))
    evaluation = Evaluation(Status.OK, (0.2, 0.65))
    assert _reward(costly, evaluation, kind="accuracy") == 0.65
    assert _reward(costly, evaluation, kind="accuracy", mu=20, rho=9) == 0.65
    assert _reward(costly, Evaluation(Status.FAILED), kind="accuracy") == 0.1


@pytest.mark.parametrize("status", list(Status))
def test_only_a_measured_accuracy_is_rewarded_above_a_guess(status: Status) -> None:
    evaluation = Evaluation(status, accuracy=(0.2, 0.65))
    whole = status in (Status.OK, Status.REUSED)
    measured = whole or status == Status.STOPPED
    assert _reward(_candidate(), evaluation) == (0.65 if measured else 0.1)
    assert last_accuracy(_candidate(), evaluation) == (0.65 if whole else None)


def test_the_twin_of_a_failure_is_rewarded_as_a_guess() -> None:
    twin = Evaluation(Status.REUSED, error="failed: ...")
    assert _reward(_candidate(), twin) == 0.1


@pytest.mark.parametrize(
    ("flops", "below", "above", "expected"),
    [
        (2000, -0.07, -0.07, 0.65 * 2**-0.07),  # MnasNet's soft weights
        (500, -0.07, -0.07, 0.65 * 2**0.07),
        (2000, 0.0, -1.0, 0.325),  # its hard ones
        (500, 0.0, -1.0, 0.65),
        (1000, -2.0, -2.0, 0.65),
    ],
)
def test_a_target_multiplies_the_reward(
    flops: int, below: float, above: float, expected: float
) -> None:
    candidate = dataclasses.replace(_candidate(), network_flops=flops)
    target: dict[str, Any] = {"target": 1000, "below": below, "above": above}
    evaluation = Evaluation(Status.OK, (0.65,))
    for kind in ("paper", "accuracy"):
        got = _reward(candidate, evaluation, kind=kind, **target)
        assert got == pytest.approx(expected)
    other = _reward(candidate, evaluation, cost="params", **target)
    assert other == pytest.approx(0.65 * 1000**-below)  # it has none


def test_a_target_pays_no_failure_and_raises_no_reward_below_0() -> None:
    small = dataclasses.replace(_candidate(), network_flops=10)
    large = dataclasses.replace(_candidate(), network_flops=4000)
    failed = Evaluation(Status.OVER_BUDGET)
    assert _reward(small, failed, target=1000) == 0.1
    assert _reward(large, failed, target=1000, above=-1.0) == pytest.approx(0.025)
    dense = dataclasses.replace(large, edges=300, nodes=2)  # - 8 ln(150 / (2 / 3))
    below = _reward(dense, Evaluation(Status.OK, (0.1,)))
    assert below < 0
    got = _reward(dense, Evaluation(Status.OK, (0.1,)), target=1000, above=-0.5)
    assert got == pytest.approx(2 * below)


def test_a_learned_reward_has_the_target_too() -> None:
    config = tiny_config(reward={"kind": "learned", "target": 1000, "above": -1.0})
    fit = Fit(("accuracy",), 0.1, (1.0,), (1.0,), (1.0,), 8)
    problem = with_fit(problem_of(config), fit)
    candidate = dataclasses.replace(_candidate(), network_flops=2000)
    evaluation = Evaluation(Status.OK, (0.5,))
    assert problem.reward(candidate, evaluation) == pytest.approx(0.3)

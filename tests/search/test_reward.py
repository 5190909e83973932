"""The reward, worked by hand."""

from typing import Any

import pytest

from bqnn.config import NetworkConfig, RewardConfig
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.networks.cost import Density
from bqnn.search.reward import (
    last_accuracy,
    make_reward,
    penalties,
    reference_block,
)
from bqnn.space.nsc import parse
from tests.helpers.searches import SPEC

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

"""Widths by which networks cost as much as each other, worked by hand."""

import pytest

from bqnn.config import NetworkConfig
from bqnn.networks.cost import stacked_cost
from bqnn.networks.plan import ImageSpec
from bqnn.networks.scale import matched, scaled
from bqnn.space.known import KNOWN, parse

NETWORK, IMAGES = NetworkConfig("small", (8,), repeats=1), ImageSpec(8, 8, 1, 10)


@pytest.mark.parametrize(
    ("widest", "widths"),
    [(64, (16, 32, 64)), (10, (3, 5, 10)), (9, (2, 5, 9)), (1, (1, 1, 1))],
)
def test_all_widths_are_scaled_by_one_factor(
    widest: int, widths: tuple[int, ...]
) -> None:
    # By 10 / 64: 2.5, 5, 10. By 9 / 64: 2.25, 4.5, 9. By 1 / 64: 0.25, 0.5, 1.
    network = NetworkConfig("small", (16, 32, 64))
    assert scaled(network, widest).widths == widths


# One 3x3 convolution of 8 filters: 9 * 8 + 16 of the stem, 9 * 64 + 16, 90 of the head:
# 770 parameters; 64 * (72 + 576) + 80 = 41,552 FLOPs. Two of 6 filters: 66 + 2 * 336 +
# 70 = 808; 64 * (54 + 648) + 60 = 44,988. Of 5 filters: 585; 31,730.
@pytest.mark.parametrize(
    ("measure", "target", "width"),
    [
        ("params", 770, 6),
        ("flops", 41_552, 6),
        ("params", 585, 5),
        ("params", 696, 5),  # 111 above 585, 112 below 808
        ("params", 697, 6),
        ("params", 1, 1),
        ("flops", 10**15, 10_000),
    ],
)
def test_widths_worked_by_hand(measure: str, target: int, width: int) -> None:
    reference, _ = stacked_cost(parse("1,1,3,0,0"), NETWORK, IMAGES)
    assert (reference.params, reference.flops) == (770, 41_552)
    found = matched(parse("vgg"), NETWORK, IMAGES, measure, target)
    assert found.widths == (width,)


@pytest.mark.parametrize("name", KNOWN)
def test_a_network_matches_itself_and_others_as_near_as_widths_allow(name: str) -> None:
    network, images = NetworkConfig("cifar", (32, 64, 128)), ImageSpec(32, 32, 3, 100)
    block = parse(name)
    for measure in ("params", "flops"):
        own, _ = stacked_cost(block, network, images)
        target = getattr(own, measure)
        assert matched(block, network, images, measure, target) == network
        other = matched(parse("vgg"), network, images, measure, target)
        cost, _ = stacked_cost(parse("vgg"), other, images)
        assert getattr(cost, measure) == pytest.approx(target, rel=0.02)

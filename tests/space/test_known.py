"""Known blocks: their forms, their costs, and how they are named."""

import pytest

import bqnn
from bqnn.config import NetworkConfig
from bqnn.errors import NscError
from bqnn.networks.plan import ImageSpec
from bqnn.space import nsc
from bqnn.space.actions import NscSpace
from bqnn.space.known import KNOWN, name_of, parse
from bqnn.space.nsc import Block, LayerType

NETWORK, IMAGES = NetworkConfig("small", (4,), repeats=1), ImageSpec(8, 8, 1, 10)


def test_known_blocks_are_blocks_of_the_papers_space_and_differ() -> None:
    space = NscSpace(23)
    for width in ("uniform", "native"):
        hashes = {nsc.canonical_hash(known.block, width) for known in KNOWN.values()}
        assert len(hashes) == len(KNOWN) == 6
    for known in KNOWN.values():
        assert space.decode(space.encode(known.block)) == known.block
        assert known.source and known.form


# Stem 9 * 4 + 8 and head 4 * 10 + 10 parameters; a convolution of kernel k has
# 16 k^2 + 8, and 16 k^2 FLOPs at each of 64 places.
@pytest.mark.parametrize(
    ("name", "params", "weights"),
    [
        ("vgg", 94 + 2 * 152, 2 * 144),
        ("resnet", 94 + 2 * 152, 2 * 144),
        ("bottleneck", 94 + 24 + 152 + 24, 16 + 144 + 16),
        # Of four branches, and 4 * 4 * 4 + 8 to bring 16 channels back to 4.
        ("inception", 94 + 4 * 24 + 152 + 408 + 72, 4 * 16 + 144 + 400 + 64),
        # Each of three concatenations is of 4 + 4 channels: 8 * 4 + 8.
        ("densenet", 94 + 3 * 152 + 3 * 40, 3 * 144 + 3 * 32),
        ("resnext", 94 + 2 * (24 + 152 + 24), 2 * (16 + 144 + 16)),
    ],
)
def test_costs_worked_by_hand(name: str, params: int, weights: int) -> None:
    cost = bqnn.cost(name, NETWORK, IMAGES)
    assert cost.params == params
    assert cost.network_flops == 64 * (36 + weights) + 40


def _adds(block: Block) -> list[tuple[int, ...]]:
    return [x.predecessors for x in block.layers if x.type == LayerType.ADD]


def test_the_residual_ones_add_their_input_last() -> None:
    for name in ("resnet", "bottleneck", "resnext"):
        block = parse(name)
        assert _adds(block)[-1][0] == 0
        assert block.sinks == (len(block),)
    assert parse("inception").sinks == (1, 3, 5, 7)


def test_a_name_is_read_wherever_a_block_is() -> None:
    assert parse("resnet") == parse(" resnet ") == KNOWN["resnet"].block
    assert parse("1,1,3,0,0") == nsc.parse("1,1,3,0,0")
    want = "'resnett': want vgg, resnet, bottleneck, inception, densenet, resnext, or a"
    with pytest.raises(NscError, match=want):
        parse("resnett")
    with pytest.raises(NscError, match="five non-negative integers"):
        parse("1,resnet")


def test_a_block_is_known_by_what_it_computes() -> None:
    assert name_of(parse("1,4,0,0,0;2,1,3,1,0;3,1,3,2,0;4,5,0,1,3")) == "resnet"
    assert name_of(parse("1,1,3,0,0")) is None

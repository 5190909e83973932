"""The code of a block: reading, writing, what is refused."""

import numpy as np
import pytest
from hypothesis import given

from bqnn.errors import NscError
from bqnn.space import nsc
from bqnn.space.nsc import Block, Layer, LayerType
from tests.helpers.blocks import blocks

EXAMPLE = "1,1,3,0,0;2,2,3,1,0;3,5,0,1,2;4,7,0,0,0"


def test_parse_reads_the_five_integers_of_every_layer() -> None:
    block = nsc.parse(EXAMPLE)
    assert block.layers == (
        Layer(1, LayerType.CONVOLUTION, 3, 0, 0),
        Layer(2, LayerType.MAX_POOLING, 3, 1, 0),
        Layer(3, LayerType.ADD, 0, 1, 2),
    )
    assert block.sinks == (3,)
    assert nsc.format(block) == EXAMPLE


def test_parse_takes_spaces_and_a_missing_terminal() -> None:
    assert nsc.parse(" 1,1,3,0,0 ; 2, 2,3,1,0; 3,5,0,1,2 ") == nsc.parse(EXAMPLE)


def test_the_mirror_image_of_add_is_the_same_block() -> None:
    assert nsc.parse("1,1,3,0,0;2,5,0,1,0") == nsc.parse("1,1,3,0,0;2,5,0,0,1")


def test_sinks_are_the_layers_that_nobody_reads() -> None:
    assert nsc.parse("1,1,3,0,0;2,1,5,0,0;3,4,0,1,0;4,3,3,1,0").sinks == (2, 3, 4)


@given(blocks())
def test_every_block_reads_back_from_its_text(block: Block) -> None:
    assert nsc.parse(nsc.format(block)) == block


@pytest.mark.parametrize(
    ("text", "quoted", "reason"),
    [
        ("", "''", "five non-negative integers"),
        ("1,1,3,0", "'1,1,3,0'", "five non-negative integers"),
        ("1,1,3,0,0;", "''", "five non-negative integers"),
        ("1,1,-3,0,0", "'1,1,-3,0,0'", "five non-negative integers"),
        ("1,1,3,0,\u0663", "'1,1,3,0,\u0663'", "five non-negative integers"),
        ("2,1,3,0,0", "'2,1,3,0,0'", "index 2 is out of order: want 1"),
        ("1,0,3,0,0", "'1,0,3,0,0'", "unknown type 0"),
        ("1,99,0,0,0", "'1,99,0,0,0'", "unknown type 99: want 1 conv"),
        ("1,1,2,0,0", "'1,1,2,0,0'", "no kernel 2: want 1 or 3 or 5"),
        ("1,2,5,0,0", "'1,2,5,0,0'", "no kernel 5: want 1 or 3"),
        ("1,4,1,0,0", "'1,4,1,0,0'", "no kernel 1: want 0"),
        ("1,1,3,1,0", "'1,1,3,1,0'", "pred1 1 does not exist: want 0 to 0"),
        ("1,1,3,0,0;2,1,3,0,1", "'2,1,3,0,1'", "has no pred2"),
        ("1,1,3,0,0;2,5,0,1,1", "'2,5,0,1,1'", "two predecessors"),
        ("1,1,3,0,0;2,6,0,0,2", "'2,6,0,0,2'", "pred2 2 does not exist"),
        ("1,7,0,0,0", "'1,7,0,0,0'", "not legal at index 1"),
        ("1,1,3,0,0;2,7,0,1,0", "'2,7,0,1,0'", "Terminal has no pred1"),
        ("1,1,3,0,0;2,7,0,0,0;3,1,3,0,0", "'2,7,0,0,0'", "nothing may follow"),
    ],
)
def test_a_malformed_block_is_refused_with_the_layer_quoted(
    text: str, quoted: str, reason: str
) -> None:
    with pytest.raises(NscError) as caught:
        nsc.parse(text)
    assert quoted in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_kernel_of_the_terminal_is_the_wiring() -> None:
    plain, dense = map(nsc.parse, ("1,1,3,0,0", "1,1,3,0,0;2,7,2,0,0"))
    assert (plain.wiring, dense.wiring) == (0, 2)
    assert (str(plain)[-9:], str(dense)[-9:]) == ("2,7,0,0,0", "2,7,2,0,0")
    assert nsc.canonical_hash(plain) == "52c109a3b8d6bf21cc319140916648ab"
    residual = Block(plain.layers, 1)
    assert len({nsc.canonical_hash(block) for block in (plain, residual, dense)}) == 3
    with pytest.raises(NscError, match="Terminal has no kernel 3: want 0 or 1 or 2"):
        Block(plain.layers, 3)


def test_a_block_cannot_be_built_empty() -> None:
    with pytest.raises(NscError, match="at least one layer"):
        Block(())


def test_layers_from_numpy_write_as_integers() -> None:
    layer = Layer(*np.array([1, 1, 3, 0, 0]))
    assert str(layer) == "1,1,3,0,0"

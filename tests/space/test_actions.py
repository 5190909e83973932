"""The search space: which codes are legal, and where their Q-values lie."""

import numpy as np
import pytest
from hypothesis import given

from bqnn.errors import ConfigError, NscError
from bqnn.space.actions import NscSpace, legal_codes
from bqnn.space.nsc import Block, Layer, parse
from tests.helpers.blocks import SPACE, blocks


@pytest.mark.parametrize("index", [2, 3, 10, 23, 40])
def test_number_of_codes_follows_from_table_1(index: int) -> None:
    # (3 + 2 + 2 + 1) codes per predecessor, two per pair of predecessors, Terminal.
    assert len(legal_codes(index)) == 8 * index + index * (index - 1) + 1


def test_index_23_has_691_codes_and_index_1_no_terminal() -> None:
    assert len(legal_codes(23)) == 691
    assert len(legal_codes(1)) == 8
    assert all(code.type != 7 for code in legal_codes(1))


def test_every_legal_code_is_listed_once_and_is_valid() -> None:
    codes = legal_codes(4)
    assert len(set(codes)) == len(codes)
    chain = (Layer(1, 1, 1, 0, 0), Layer(2, 4, 0, 1, 0), Layer(3, 4, 0, 2, 0))
    for code in codes[:-1]:
        Block((*chain, code))


@pytest.mark.parametrize("wirings", [(), ("residual", "dense")])
@pytest.mark.parametrize("max_layers", [1, 2, 5, 9])
def test_rows_of_q_values_fill_the_table_without_overlap(
    max_layers: int, wirings: tuple[str, ...]
) -> None:
    space = NscSpace(max_layers, wirings=wirings).arrays
    cells: list[int] = []
    for step, count in enumerate(space.num_actions):
        previous = 1
        if step:
            previous = space.num_actions[step - 1] - (space.stop[step - 1] >= 0)
        for action in range(previous):
            start = space.row_start[step] + action * count
            cells += range(start, start + count)
    assert cells == list(range(space.size))


def test_the_table_of_the_paper_has_two_and_a_half_million_values() -> None:
    assert SPACE.arrays.size == 2_464_734


def test_groups_are_the_layer_types() -> None:
    space = SPACE.arrays
    # Index 2: 3 x 2 convolutions, 2 x 2 of each pooling, 2 identities, 1 Add, 1 Concat.
    assert space.group_size[1].tolist() == [6, 4, 4, 2, 1, 1, 1]
    assert space.group_start[1].tolist() == [0, 6, 10, 14, 16, 17, 18]
    assert space.group_size[0].tolist() == [3, 2, 2, 1, 0, 0, 0]


@given(blocks())
def test_encode_and_decode_are_inverse(block: Block) -> None:
    actions = SPACE.encode(block)
    assert actions.shape == (23,)
    assert SPACE.decode(actions) == block


def test_actions_end_with_the_terminal() -> None:
    space = NscSpace(3)
    actions = space.encode(parse("1,1,3,0,0;2,2,3,1,0"))
    assert actions.tolist() == [1, 9, space.arrays.stop[2]]
    full = space.encode(parse("1,1,3,0,0;2,2,3,1,0;3,5,0,1,2"))
    assert full.tolist() == [1, 9, 26]
    short = space.encode(parse("1,1,3,0,0"))
    assert short.tolist() == [1, space.arrays.stop[1], -1]


def test_a_block_that_is_too_long_is_refused() -> None:
    with pytest.raises(NscError, match="3 layers: this space has 2 at most"):
        NscSpace(2).encode(parse("1,1,3,0,0;2,2,3,1,0;3,5,0,1,2"))


def test_a_space_of_some_types_has_their_codes_alone() -> None:
    space = NscSpace(5, types=("add", "convolution"))
    arrays = space.arrays
    # Index 3: 3 x 3 convolutions, 3 sums, Terminal.
    assert arrays.group_size[2].tolist() == [9, 3, 1]
    assert arrays.stop.tolist() == [-1, 7, 12, 18, 25]
    block = parse("1,1,3,0,0;2,5,0,0,1")
    assert space.decode(space.encode(block)) == block
    with pytest.raises(NscError, match="'2,2,3,1,0': this space has convolution, add"):
        space.encode(parse("1,1,3,0,0;2,2,3,1,0"))


def test_the_first_decision_of_a_wired_space_is_the_kernel_of_the_terminal() -> None:
    space = NscSpace(2, wirings=("dense",))
    arrays = space.arrays
    assert arrays.num_actions.tolist() == [2, 8, 19]
    assert arrays.stop.tolist() == [-1, -1, 18]
    assert arrays.group_size[0].tolist() == [0] * 6 + [2]
    for text, actions in (
        ("1,1,3,0,0;2,7,2,0,0", [1, 1, 18]),
        ("1,1,3,0,0;2,1,1,0,0;3,7,0,0,0", [0, 1, 0]),
        ("1,1,3,0,0;2,1,1,0,0;3,7,2,0,0", [1, 1, 0]),
    ):
        assert space.encode(parse(text)).tolist() == actions
        assert str(space.decode(actions)) == text
    with pytest.raises(NscError, match="is residual: this space has no such wiring"):
        space.encode(parse("1,1,3,0,0;2,7,1,0,0"))


@pytest.mark.parametrize(
    ("types", "message"),
    [
        (("convolution", "terminal"), "has 'terminal': want some of convolution, max_"),
        (("add", "concat"), "want a type that reads one layer"),
        (("identity", "identity"), "want every type once"),
        ((), "want a type that reads one layer"),
    ],
)
def test_types_that_make_no_space_are_refused(
    types: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        NscSpace(3, types=types)


def test_arrays_are_small_integers() -> None:
    arrays = [a for a in SPACE.arrays if isinstance(a, np.ndarray)]
    assert len(arrays) == 6
    assert all(a.dtype == np.int32 for a in arrays)

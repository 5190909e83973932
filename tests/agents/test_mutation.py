"""Mutation: one code of a block changes into a similar one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bqnn.agents.mutation import mutate
from bqnn.layer_types import PAPER_TYPES
from bqnn.space.actions import NscSpace
from bqnn.space.nsc import parse

pytestmark = pytest.mark.quick_compilation


@pytest.mark.parametrize(
    ("max_layers", "types", "wirings"),
    [
        *((length, PAPER_TYPES, ()) for length in (1, 2, 5)),
        (4, ("convolution",), ()),
        (4, ("identity", "add"), ()),
        (4, PAPER_TYPES, ("dense",)),
    ],
)
def test_a_mutant_is_another_block_one_code_away(
    max_layers: int, types: tuple[str, ...], wirings: tuple[str, ...]
) -> None:
    space = NscSpace(max_layers, types=types, wirings=wirings)
    parents = _random_rows(space, 300)
    change = jax.jit(jax.vmap(lambda a, key: mutate(space.arrays, a, key)))
    mutants = np.asarray(change(parents, jax.random.split(jax.random.key(1), 300)))
    grown = rewired = 0
    for old, new in zip(parents, mutants, strict=True):
        parent, mutant = space.decode(old), space.decode(new)
        before, after, wired = parent.layers, mutant.layers, parent.wiring
        np.testing.assert_array_equal(space.encode(space.decode(new)), new)
        differ = [a != b for a, b in zip(before, after, strict=False)]
        assert len(after) <= len(before) + 1
        changes = sum(differ) + (len(before) != len(after)) + (wired != mutant.wiring)
        # No other layer can begin a block of identities and sums.
        assert changes == 1 or (changes == 0 and len(types) == 2)
        grown += len(after) > len(before)
        rewired += wired != mutant.wiring
    assert max_layers == 1 or grown > 10
    assert (rewired > 10) == bool(wirings)


def _random_rows(space: NscSpace, count: int) -> np.ndarray:
    """Draw blocks of any length, int32 `[count, T]`."""
    rng, arrays = np.random.default_rng(0), space.arrays
    rows = np.full((count, len(arrays.num_actions)), -1, np.int32)
    for row in rows:
        length = rng.integers(space.first + 1, len(row) + 1)
        going_on = arrays.num_actions[:length] - (arrays.stop[:length] >= 0)
        row[:length] = rng.integers(going_on)
        if length < len(row):
            row[length] = arrays.stop[length]
    return rows


def test_what_a_layer_can_become_by_hand() -> None:
    space = NscSpace(3)
    parent = jnp.asarray(space.encode(parse("1,1,3,0,0;2,1,3,1,0;3,5,0,0,1")))
    change = jax.jit(jax.vmap(lambda key: mutate(space.arrays, parent, key)))
    mutants = change(jax.random.split(jax.random.key(0), 2000))
    found = {str(space.decode(row)) for row in np.asarray(mutants)}
    expected = {
        # Layer 1: another operation, as near as it has; another kernel.
        *(f"1,{code},0,0;2,1,3,1,0;3,5,0,0,1;4,7,0,0,0" for code in ("2,3", "3,3")),
        *(f"1,{code},0,0;2,1,3,1,0;3,5,0,0,1;4,7,0,0,0" for code in ("4,0",)),
        *(f"1,1,{k},0,0;2,1,3,1,0;3,5,0,0,1;4,7,0,0,0" for k in (1, 5)),
        # Layer 2: the same, its other predecessor, Add, Concat, the end.
        *(f"1,1,3,0,0;2,{c},1,0;3,5,0,0,1;4,7,0,0,0" for c in ("2,3", "3,3", "4,0")),
        *(f"1,1,3,0,0;2,1,{k},1,0;3,5,0,0,1;4,7,0,0,0" for k in (1, 5)),
        "1,1,3,0,0;2,1,3,0,0;3,5,0,0,1;4,7,0,0,0",
        *(f"1,1,3,0,0;2,{t},0,0,1;3,5,0,0,1;4,7,0,0,0" for t in (5, 6)),
        "1,1,3,0,0;2,7,0,0,0",
        # Layer 3: Concat, one other predecessor, operations that read layer 0, the end.
        "1,1,3,0,0;2,1,3,1,0;3,6,0,0,1;4,7,0,0,0",
        "1,1,3,0,0;2,1,3,1,0;3,5,0,0,2;4,7,0,0,0",
        "1,1,3,0,0;2,1,3,1,0;3,4,0,0,0;4,7,0,0,0",
        "1,1,3,0,0;2,1,3,1,0;3,7,0,0,0",
    }
    assert expected <= found

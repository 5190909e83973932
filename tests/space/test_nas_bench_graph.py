"""NAS-Bench-Graph: the space, and which networks compute the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bqnn.compare.tabular import all_actions
from bqnn.space.nas_bench_graph import (
    MACROS,
    OPERATIONS,
    Form,
    NasBenchGraphSpace,
    all_forms,
    canonical_form,
)


def test_a_network_is_decoded_and_encoded() -> None:
    space = NasBenchGraphSpace()
    network = (0, 0, 1, 2), ("gcn", "skip", "fc", "gat")
    actions = space.encode(*network)
    assert actions.tolist() == [3, 1, 8, 7, 0]
    assert space.decode(actions) == network
    assert space.arrays.num_actions.tolist() == [len(MACROS), *[len(OPERATIONS)] * 4]


@pytest.mark.parametrize(
    ("macro", "operations", "form"),
    [
        # Nodes that read the same may be swapped.
        ((0, 0, 0, 1), "gcn fc arma fc", (("arma", ()), ("fc", ()), ("gcn", ("fc",)))),
        # A skip connection drops out: with readers, alone, or on the input.
        ((0, 1, 2, 3), "skip gcn skip fc", (("gcn", ("fc",)),)),
        ((0, 1, 1, 1), "gcn skip fc gat", (("gcn", ("fc", "gat", "skip")),)),
        ((0, 0, 1, 1), "gcn skip fc gat", (("gcn", ("fc", "gat")),)),
        ((0, 0, 0, 0), "skip skip skip skip", ()),
    ],
)
def test_what_computes_the_same_has_one_form(
    macro: tuple[int, ...], operations: str, form: tuple[object, ...]
) -> None:
    def leaves(form: Form) -> tuple[object, ...]:
        return tuple(
            (name, tuple(n for n, inner in readers if not inner))
            for name, readers in form
        )

    assert leaves(canonical_form(macro, operations.split())) == form


@pytest.mark.quick_compilation
def test_there_are_26206_networks_and_one_that_does_nothing() -> None:
    forms = all_forms(OPERATIONS)
    assert len(set(forms)) == 26_206 + 1
    space = NasBenchGraphSpace().arrays
    rows = np.stack(list(all_actions(space)))
    keys = np.asarray(jax.jit(jax.vmap(space.key))(rows)).tolist()
    assert len(set(zip(forms, keys, strict=True))) == len(set(keys)) == 26_206 + 1
    assert int(space.key(jnp.full(5, -1))) not in keys
    features = np.asarray(jax.jit(jax.vmap(space.features))(rows[:2000]))
    assert len(np.unique(features, axis=0)) == len(set(forms[:2000]))

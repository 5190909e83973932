"""Cutting networks into units: which there are, and how few."""

import numpy as np
import pytest

from bqnn.config import SpaceConfig, TrainConfig
from bqnn.engines import unit_programs
from bqnn.engines.units import space_signatures, units
from bqnn.networks.plan import plan
from bqnn.space.nsc import parse
from tests.helpers.blocks import random_block
from tests.helpers.networks import SPEC, small


def _ops(text: str, **fields: object) -> list[tuple[str, ...]]:
    network = plan(parse(text), small(**fields), SPEC)  # type: ignore[arg-type]
    return [tuple(n.op for n in unit.signature.nodes) for unit in units(network)]


def test_what_changes_nothing_vanishes() -> None:
    ops = _ops("1,4,0,0,0;2,2,1,1,0;3,3,1,2,0;4,1,3,3,0", widths=(4,))
    assert ops == [("stem",), ("pcc",), ("head",)]


def test_projections_are_one_unit_with_what_they_project() -> None:
    ops = _ops("1,1,3,0,0;2,6,0,0,1;3,1,1,2,0;4,2,3,2,0", widths=(4, 6))
    block = [("pcc",), ("concat", "pcc"), ("pcc",), ("max_pool",), ("concat", "pcc")]
    assert ops == [("stem",), *block, ("max_pool", "pcc"), *block, ("head",)]


def test_units_read_what_the_plan_says() -> None:
    network = plan(parse("1,4,0,0,0;2,1,3,1,0;3,5,0,1,2"), small(widths=(4,)), SPEC)
    stem, pcc, add, head = units(network)
    assert [unit.names for unit in (stem, pcc, add, head)] == [
        ("stem",),
        ("stage1_block1_layer2",),
        ("stage1_block1_layer3",),
        ("head",),
    ]
    # The identity between stem and convolution is not there any more.
    assert pcc.inputs == (stem.output,)
    assert add.inputs == (stem.output, pcc.output)
    assert head.inputs == (add.output,)


def test_separable_convolutions_are_units_of_a_space_that_has_them() -> None:
    space = SpaceConfig(2, types=("separable_convolution", "add"))
    found = space_signatures(space, small(widths=(4, 6)), SPEC)
    ops = [tuple(node.op for node in signature.nodes) for signature in found]
    # Of kernel 3 and 5; the first of a later stage reads the projected images.
    assert ops.count(("separable",)) == 4
    assert ("pcc",) not in ops
    assert ("concat", "pcc") in ops


@pytest.mark.parametrize("max_layers", [1, 4, 9])
def test_a_space_is_made_of_few_units_known_beforehand(max_layers: int) -> None:
    known = space_signatures(SpaceConfig(max_layers), small(), SPEC)
    rng = np.random.default_rng(0)
    met = {
        unit.signature
        for _ in range(150)
        for unit in units(plan(random_block(rng, max_layers), small(), SPEC))
    }
    assert met <= set(known)
    assert len(known) == len(set(known))
    # Stem, head, two transitions; per stage 3 convolutions, 2 poolings, a sum, and a
    # concatenation of 2, 3, ... inputs.
    per_stage = 5 + (max_layers > 1) + (max_layers - 1)
    assert len(known) == 4 + 3 * per_stage


@pytest.mark.parametrize(("wiring", "more"), [("residual", 0), ("dense", 1)])
def test_wired_networks_are_made_of_few_units_too(wiring: str, more: int) -> None:
    wired = small(wiring=wiring, repeats=4)
    known = space_signatures(SpaceConfig(3), wired, SPEC)
    rng = np.random.default_rng(0)
    met = {
        unit.signature
        for _ in range(40)
        for unit in units(plan(random_block(rng, 3), wired, SPEC))
    }
    assert met <= set(known)
    # With three sinks, or the fourth block of `dense`, up to three or four are joined.
    assert len(known) == len(space_signatures(SpaceConfig(3), small(), SPEC)) + 3 * more


def test_no_gradient_adds_in_an_order_of_chance() -> None:
    """XLA's GPU backend scatters by atomic operations: in no unit but for labels."""
    config = TrainConfig(batch=4)
    for signature in space_signatures(SpaceConfig(2), small(widths=(3, 4)), SPEC):
        lower = unit_programs._LOWER.get(signature.nodes[-1].op)
        lower = lower or unit_programs._lower_unit
        text = "".join(each.as_text() for each in lower(signature, config, 4))
        assert "select_and_scatter" not in text
        # The gradient of the loss: one class of every image, so nothing is added.
        assert "scatter" not in text or signature.nodes[-1].op == "head"

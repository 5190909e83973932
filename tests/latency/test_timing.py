"""Timing: calls of units and networks on the CPU, in XLA and in ONNX Runtime."""

import numpy as np
import pytest

from bqnn.config import SpaceConfig
from bqnn.engines.units import space_signatures
from bqnn.export import onnx_calls
from bqnn.latency import timing
from bqnn.latency.table import UnitLatency
from bqnn.networks.plan import plan
from bqnn.space.nsc import parse
from tests.helpers.networks import SPEC, small

pytestmark = pytest.mark.quick_compilation

CONFIG = small(widths=(4,))
NETWORK = plan(parse("1,1,3,0,0;2,2,3,0,0;3,6,0,1,2"), CONFIG, SPEC)


def test_calls_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_SECONDS", 0.0)
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    ended: list[int] = []
    found = timing.measure(calls, lambda: ended.append(len(order)))
    turns = [order[end - 1] for end in ended]
    assert turns == ["a", "b"] * timing.ROUNDS
    assert all(latency > 0 for latency in found.values())


def test_a_unit_takes_what_one_more_copy_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    milliseconds = {"one": iter([2, 2, 9, 2, 2]), "several": iter([10, 18, 9, 26, 1])}
    monkeypatch.setattr(timing, "_median_ms", lambda name: next(milliseconds[name]))
    units = {"unit": timing.UnitCalls("one", "several")}  # type: ignore[arg-type]
    # Divided by the eight copies more: 1, 2, 0, 3, and nothing below 0.
    assert timing.measure_units(units)["unit"] == UnitLatency(1.0, 0.0, 3.0)


def test_every_unit_of_a_space_can_be_called() -> None:
    for signature in space_signatures(SpaceConfig(2), CONFIG, SPEC):
        calls = timing.unit_calls(signature, "float32")
        head = signature.nodes[-1].op == "head"
        shape = (1, *(signature.output[2:] if head else signature.output))
        for call, count in ((calls.one, 1), (calls.several, timing.COPIES)):
            outputs = call()
            assert [output.shape for output in outputs] == [shape] * count
            assert np.isfinite(outputs).all()


def test_a_whole_network_can_be_called() -> None:
    output = timing.network_call(NETWORK, "bfloat16")()
    assert output.shape == (1, 10) and output.dtype == np.float32
    assert np.isfinite(output).all()


def test_so_can_they_in_onnx_runtime() -> None:
    pytest.importorskip("jax2onnx")
    signatures = space_signatures(SpaceConfig(2), CONFIG, SPEC)
    joined = next(s for s in signatures if len(s.nodes) == 2)
    calls = onnx_calls.unit_calls(joined)
    assert [x.shape for x in calls.one()] == [(1, *joined.output)]
    assert len(calls.several()) == timing.COPIES
    (logits,) = onnx_calls.network_call(NETWORK)()
    assert logits.shape == (1, 10) and np.isfinite(logits).all()

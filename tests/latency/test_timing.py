"""Timing: calls of units and networks on the CPU, in XLA and in ONNX Runtime."""

import numpy as np
import pytest

from bqnn.config import SpaceConfig
from bqnn.engines.units import space_signatures
from bqnn.export import onnx_calls
from bqnn.latency import timing
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
    assert len(ended) == 2 * timing.ROUNDS
    turns = [order[end - 1] for end in ended]
    assert turns == ["a", "b"] * timing.ROUNDS
    for latency in found.values():
        assert 0 <= latency.low <= latency.ms <= latency.high


def test_every_unit_of_a_space_can_be_called() -> None:
    for signature in space_signatures(SpaceConfig(2), CONFIG, SPEC):
        output = timing.unit_call(signature, "float32")()
        head = signature.nodes[-1].op == "head"
        assert output.shape == (
            1,
            *(signature.output[2:] if head else signature.output),
        )
        assert np.isfinite(output).all()


def test_a_whole_network_can_be_called() -> None:
    output = timing.network_call(NETWORK, "bfloat16")()
    assert output.shape == (1, 10) and output.dtype == np.float32
    assert np.isfinite(output).all()


def test_so_can_they_in_onnx_runtime() -> None:
    pytest.importorskip("jax2onnx")
    signatures = space_signatures(SpaceConfig(2), CONFIG, SPEC)
    joined = next(s for s in signatures if len(s.nodes) == 2)
    (output,) = onnx_calls.unit_call(joined)()
    assert output.shape == (1, *joined.output)
    (logits,) = onnx_calls.network_call(NETWORK)()
    assert logits.shape == (1, 10) and np.isfinite(logits).all()

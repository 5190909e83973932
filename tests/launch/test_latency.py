"""launch.latency: from a configuration to a table of latencies."""

from pathlib import Path

import pytest

from bqnn.latency import table
from bqnn.networks.plan import plan
from bqnn.space.nsc import parse
from tests.helpers import programs
from tests.helpers.networks import SPEC, small

_TINY = (
    "--config=quickstart",
    "--config.space.max_layers=2",
    "--config.network.widths=(4,)",
)


def test_a_space_is_measured_and_checked(tmp_path: Path) -> None:
    out = tmp_path / "latency.csv"
    result = programs.answer("latency", *_TINY, f"--out={out}", "--check=10")
    assert result.status == 0, result.err
    assert "10 networks of random blocks" in result.out
    assert "off by" in result.out
    found = table.read(out)
    network = plan(parse("1,1,3,0,0;2,5,0,0,1"), small(widths=(4,)), SPEC)
    assert found.of(network) > 0 and found.factor > 0
    assert found.device.startswith("cpu")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--check=3",), "--check: want 0, or 10 networks and more"),
        (("--config.network.width=native",), "network.width: want uniform"),
        (("--device=gpu",), "jax has found no accelerator"),
        (("--device=tpu",), "cpu|gpu|onnx"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    out = f"--out={tmp_path / 'latency.csv'}"
    result = programs.answer("latency", *_TINY, out, *flags)
    assert result.status == 2
    assert message in result.err and result.err.count("\n") == 1

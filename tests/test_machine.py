"""What a machine can compute on, and what each worker gets of it."""

import contextlib
import io
import sys
from types import SimpleNamespace

import pytest

from bqnn import machine


def _tpu_core(x: int, core: int) -> SimpleNamespace:
    return SimpleNamespace(id=2 * x + core, coords=[x, 0, 0], core_on_chip=core)


@pytest.mark.parametrize(
    ("platform", "devices", "chips"),
    [
        ("tpu", [_tpu_core(x, core) for x in range(4) for core in range(2)], 4),
        ("tpu", [_tpu_core(x, 0) for x in range(4)], 4),
        ("gpu", [SimpleNamespace(id=n) for n in range(8)], 8),
    ],
)
def test_the_probe_counts_chips_and_not_their_cores(
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    devices: list[SimpleNamespace],
    chips: int,
) -> None:
    fake = SimpleNamespace(
        local_devices=lambda: devices, default_backend=lambda: platform
    )
    monkeypatch.setitem(sys.modules, "jax", fake)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(machine._PROBE, {})
    assert printed.getvalue().split() == [platform, str(chips)]


def test_a_worker_sees_one_of_the_devices_that_its_master_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    environment = machine.device_environment("cuda", 1)
    assert environment["CUDA_VISIBLE_DEVICES"] == "7"
    assert machine.device_environment("tpu", 3)["TPU_VISIBLE_CHIPS"] == "3"
    assert machine.device_environment("cpu", 0) == {"JAX_PLATFORMS": "cpu"}

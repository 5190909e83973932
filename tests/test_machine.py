"""Cores and accelerators of a machine, and the share of each worker."""

import contextlib
import io
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from bqnn import machine
from tests.helpers.paths import ROOT


def _tpu_core(x: int, core: int) -> SimpleNamespace:
    return SimpleNamespace(id=2 * x + core, coords=[x, 0, 0], core_on_chip=core)


def test_cores_are_counted_and_pinning_left_where_nobody_can_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As on macOS.
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.delattr(os, "sched_setaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert machine.cores() == 3
    machine.pin()
    machine.pin(1)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="nobody can ask")
def test_a_pinned_process_has_one_core_in_every_thread() -> None:
    code = """
import os, psutil, threading
from bqnn import machine
event = threading.Event()
threading.Thread(target=event.wait).start()
machine.pin()
kept = [os.sched_getaffinity(t.id) for t in psutil.Process().threads()]
event.set()
print(len(kept) > 1, {len(cores) for cores in kept})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True {1}\n", done.stderr


def test_nothing_else_asks_for_the_cores_of_this_process() -> None:
    files = [*(ROOT / "bqnn").rglob("*.py"), *(ROOT / "launch").rglob("*.py")]
    asking = [file.name for file in files if "os.sched_" in file.read_text()]
    assert asking == ["machine.py"]


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
    environment = machine.device_environment("cuda", [1])
    assert environment["CUDA_VISIBLE_DEVICES"] == "7"
    both = machine.device_environment("cuda", [0, 1], sharers=3)
    assert both["CUDA_VISIBLE_DEVICES"] == "4,7"
    assert both["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.300"
    assert machine.device_environment("tpu", [3])["TPU_VISIBLE_CHIPS"] == "3"
    assert machine.device_environment("cpu", [0]) == {"JAX_PLATFORMS": "cpu"}

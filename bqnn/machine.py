"""Machine: cores, memory and accelerators, found without starting jax."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from bqnn.errors import SearchError

# Some TPU chips have two cores: two devices of jax with the same coordinates.
_PROBE = """
import jax
chips = {tuple(getattr(d, "coords", [d.id])) for d in jax.local_devices()}
print(jax.default_backend(), len(chips))
"""


class Accelerators(NamedTuple):
    """The accelerators of this machine.

    Attributes:
      platform: `cuda` or `tpu`; `cpu` if there are none.
      devices: GPUs or TPU chips.
    """

    platform: str
    devices: int


def accelerators() -> Accelerators:
    """Count the GPUs or TPU chips that jax would use.

    In a process of its own: a process that has started jax holds the memory of every
    accelerator, and workers are to have them.

    Raises:
      SearchError: if jax is installed for accelerators and does not start.
    """
    if os.environ.get("JAX_PLATFORMS") == "cpu" or not _has_plugins():
        return Accelerators("cpu", 0)
    result = subprocess.run(
        [sys.executable, "-c", _PROBE], capture_output=True, text=True
    )
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no message"]
        raise SearchError(
            f"jax does not start on this machine's accelerators: {lines[-1]}; mend it, "
            "or set JAX_PLATFORMS=cpu"
        )
    platform, count = result.stdout.split()[-2:]
    if platform == "cpu":
        return Accelerators("cpu", 0)
    return Accelerators({"gpu": "cuda"}.get(platform, platform), int(count))


def cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pin(index: int = 0) -> None:
    """Keep every thread of this process to one core, where the system lets one ask.

    Args:
      index: of the core among those that this process may use, from 0.
    """
    if hasattr(os, "sched_setaffinity"):
        core = sorted(os.sched_getaffinity(0))[index]
        for thread in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(thread), {core})


def memory() -> int:
    """Return the physical memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def device_environment(
    platform: str, devices: Sequence[int], sharers: int = 1
) -> dict[str, str]:
    """Return the environment that gives a process some accelerators and no others.

    Args:
      platform: `cuda`, `tpu` or `cpu`.
      devices: indices of the accelerators; a TPU process has one.
      sharers: processes that share them, with equal parts of their memory.
    """
    if platform == "cuda":
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else None
        return {
            "CUDA_VISIBLE_DEVICES": ",".join(
                names[device] if names else str(device) for device in devices
            ),
            **gpu_memory(1 / sharers),
        }
    if platform == "tpu":
        return {
            "TPU_VISIBLE_CHIPS": str(devices[0]),
            "TPU_CHIPS_PER_PROCESS_BOUNDS": "1,1,1",
            "TPU_PROCESS_BOUNDS": "1,1,1",
        }
    return {"JAX_PLATFORMS": "cpu"}


def gpu_memory(share: float) -> dict[str, str]:
    """Return the environment that leaves a process a share of its GPU's memory.

    Memory is taken as it is needed: a worker that took three quarters of it at once,
    jax's default, would leave none for the one that replaces it. A tenth is left to the
    drivers.
    """
    return {
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 * share:.3f}",
    }


def _has_plugins() -> bool:
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return bool(plugins) or importlib.util.find_spec("libtpu") is not None

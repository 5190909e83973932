"""What a process must settle before jax starts, and what it computes on."""

import os
import platform
from functools import lru_cache
from importlib.metadata import version

from bqnn import __version__
from bqnn.errors import ConfigError

_LIBRARIES = ("flax", "jax", "jaxlib", "numpy", "optax")


def set_threads(threads: int) -> None:
    """Give XLA's CPU backend `threads` threads; call it before jax starts.

    The number of threads changes the rounding of evaluations, so every executor
    enforces that of the configuration. Afterwards only the same number is accepted.

    Raises:
      ConfigError: if jax has started with another number.
    """
    from jax._src import xla_bridge

    wanted = str(threads)
    if os.environ.get("NPROC") == wanted:
        return
    if xla_bridge.backends_are_initialized():
        raise ConfigError(
            f"train.threads is {threads}, but jax has started with NPROC="
            f"{os.environ.get('NPROC', 'unset')}: set NPROC={threads} in the "
            "environment, or run a launcher, which does"
        )
    os.environ["NPROC"] = wanted


@lru_cache(maxsize=1)
def device() -> str:
    """Describe what evaluations are computed on, with all that changes their bits."""
    import jax

    kind = jax.devices()[0].device_kind
    parts = [kind, f"jaxlib {version('jaxlib')}"]
    if jax.default_backend() == "cpu":
        parts += [_cpu_model(), f"NPROC={os.environ.get('NPROC', 'unset')}"]
    if os.environ.get("XLA_FLAGS"):
        parts.append(f"XLA_FLAGS={os.environ['XLA_FLAGS']}")
    return "; ".join(parts)


def versions() -> dict[str, str]:
    """List the versions of Python, bqnn and the libraries that decide results."""
    libraries = {name: version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), "bqnn": __version__, **libraries}


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [x.split(":", 1)[1].strip() for x in lines if "model name" in x]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()

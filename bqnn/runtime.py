"""Runtime: threads, XLA flags, memory and caches before jax starts; the device."""

import contextlib
import ctypes
import hashlib
import os
import platform
import warnings
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from bqnn import __version__, files
from bqnn.errors import ConfigError

# Flags by the version of jaxlib that was tried: an unknown flag ends the process. This
# one keeps Eigen from computing convolutions.
_CONVOLUTIONS = {
    "--xla_cpu_experimental_ynn_fusion_type": (
        "-LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION"
    )
}
_XLA_FLAGS = {"0.10.2": _CONVOLUTIONS}
# Without the emitters of fusions. An unknown option raises.
_QUICK = {"0.10.2": {"xla_cpu_use_fusion_emitters": False}}
# M_MMAP_MAX: no array in a mapping of its own; M_TRIM_THRESHOLD: the heap grows only;
# M_ARENA_MAX: one heap for all threads. The numbers are those of <malloc.h>.
_MALLOPT = {-4: 0, -1: 2**31 - 1, -8: 1}

_LIBRARIES = ("flax", "jax", "jaxlib", "numpy", "optax")


def configure_process(
    threads: int, cache_dir: str | None = None, devices: int = 1
) -> None:
    """Prepare the process for evaluations; call it before jax starts.

    The number of threads changes the rounding of evaluations, so every executor
    enforces that of the configuration. Afterwards only the same number is accepted.

    Args:
      threads: of XLA's CPU backend.
      cache_dir: where compiled programs are kept; nowhere if None. The environment's
        `JAX_COMPILATION_CACHE_DIR` goes before.
      devices: that a CPU counts as.

    Raises:
      ConfigError: if jax has started with another number of threads, or if others may
        write to the directory.
    """
    _set_threads(threads)
    if not _has_started():
        _allow_host()
        _add_xla_flags(devices)
        _keep_freed_memory()
    if cache_dir is not None:
        _keep_programs(cache_dir)


def use_host_only() -> None:
    """Keep this process on the host, before jax starts.

    Workers need the accelerator's memory, and agents run on the host anyway
    (`bqnn.agents.agent`).
    """
    import jax

    jax.config.update("jax_platforms", "cpu")


def accelerated() -> bool:
    """Tell whether jax computes on an accelerator, a GPU or TPU; it starts jax."""
    import jax

    return bool(jax.default_backend() != "cpu")


def default_cache_dir() -> str:
    """Return where compiled programs are kept unless a flag says otherwise."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "bqnn", "programs")


def quick_options() -> dict[str, bool | int]:
    """Return options of `jax.jit` for programs of many small operations on the CPU.

    Programs of agents compile in half the time, as fast and with the same bits.
    """
    return {"xla_backend_optimization_level": 1, **_QUICK.get(version("jaxlib"), {})}


@contextlib.contextmanager
def no_persistent_cache() -> Iterator[None]:
    """Keep what is compiled meanwhile out of the compilation cache.

    The program of a whole candidate is used once; kept programs would fill the disk.
    """
    from jax._src import config

    with config.persistent_cache_min_compile_time_secs(float("inf")):
        yield


def _set_threads(threads: int) -> None:
    wanted = str(threads)
    if os.environ.get("NPROC") == wanted:
        return
    if _has_started():
        raise ConfigError(
            f"train.threads is {threads}, but jax has started with NPROC="
            f"{os.environ.get('NPROC', 'unset')}: set NPROC={threads} in the "
            "environment, or run a launcher, which does"
        )
    os.environ["NPROC"] = wanted


def _has_started() -> bool:
    from jax._src import xla_bridge

    return bool(xla_bridge.backends_are_initialized())


def _allow_host() -> None:
    """Let jax use the CPU beside the accelerators that the user named: agents do."""
    named = os.environ.get("JAX_PLATFORMS", "")
    if named and "cpu" not in named.split(","):
        import jax

        os.environ["JAX_PLATFORMS"] = f"{named},cpu"
        jax.config.update("jax_platforms", f"{named},cpu")


def _add_xla_flags(devices: int) -> None:
    """Set the flags that make training faster, but none that the user has set."""
    given = os.environ.get("XLA_FLAGS", "")
    flags = dict(_XLA_FLAGS.get(version("jaxlib"), {}))
    if devices > 1:
        flags["--xla_force_host_platform_device_count"] = str(devices)
    new = [f"{name}={value}" for name, value in flags.items() if name not in given]
    if new:
        os.environ["XLA_FLAGS"] = " ".join([*given.split(), *new])


def _keep_freed_memory() -> None:
    """Have the C library keep what is freed.

    By default glibc hands every large array back to the kernel and gets it again page
    by page. Kept, a convolution forward and backward at `[128, 32, 32, 32]` took
    134 ms, not 172. Without glibc, nothing happens.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for option, value in _MALLOPT.items():
        mallopt(option, value)


def _keep_programs(cache_dir: str) -> None:
    """Keep compiled programs on disk, apart for each processor: they hold its code."""
    import jax

    given = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if given:
        files.make_private(Path(given))
    else:
        kind = hashlib.sha256(f"{_cpu_model()} {_cpu_flags()}".encode()).hexdigest()
        directory = Path(cache_dir) / kind[:12]
        for folder in (directory.parent, directory):
            files.make_private(folder)
        jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    # jax warns of an entry cut short by a full disk or a kill, and compiles it again.
    warnings.filterwarnings("ignore", ".*persistent compilation cache entry.*")


@lru_cache(maxsize=1)
def device() -> str:
    """Describe the device, with all that changes the bits of an evaluation."""
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
    return _cpu_info("model name") or platform.processor() or platform.machine()


def _cpu_flags() -> str:
    return _cpu_info("flags") or _cpu_info("Features")


def _cpu_info(key: str) -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            found = [x.split(":", 1)[1].strip() for x in lines if x.startswith(key)]
    except OSError:
        return ""
    return found[0] if found else ""

"""Strict numerics for every test, set before jax starts; a small disk."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# One thread, as every executor enforces: the bits of an evaluation depend on it.
os.environ["NPROC"] = "1"
os.environ["JAX_PLATFORMS"] = os.environ.get("JAX_PLATFORMS", "cpu")

# Nothing of the tests in the user's cache.
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).parents[1] / ".pytest_cache" / "home")

import hypothesis
import jax
import pytest
from jax._src import compiler
from jax.experimental.compilation_cache import compilation_cache

from bqnn.engines.unit_programs import accumulate, head_programs, unit_programs
from bqnn.engines.walk import reader
from bqnn.evaluation.records import Status
from tests.helpers import agents
from tests.helpers.searches import TableExecutor, run_search, tiny_config
from tests.helpers.shared import build_once, finish_search, finish_training

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# Compilation takes its time, and a failure must repeat.
hypothesis.settings.register_profile("bqnn", deadline=None, derandomize=True)
hypothesis.settings.load_profile("bqnn")

agents.share()

_CACHES = Path(os.environ["XDG_CACHE_HOME"])
_NO_OPTIMIZATIONS = "jax_disable_most_optimizations"
_full_options = compiler.get_compile_options

# Modules whose tests take longest.
_LONG = ("test_chaos", "test_search", "test_train", "test_executors")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark of tests that compare numbers within a tolerance."""
    line = "quick_compilation: XLA optimises little, where nothing takes as long"
    config.addinivalue_line("markers", line)
    # Of one that another process is writing: it is compiled again.
    warning = "ignore:.*persistent compilation cache entry"
    config.addinivalue_line("filterwarnings", warning)
    _compile(quickly=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that all processes end together.

    Tests that compile alike stand together, for they share programs.
    """
    items.sort(key=lambda item: (item.path.stem not in _LONG, _is_quick(item)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Compile as the test's mark says."""
    if _is_quick(item) != jax.config.read(_NO_OPTIMIZATIONS):
        jax.clear_caches()
        for cached in (unit_programs, head_programs, accumulate, reader):
            cached.cache_clear()
        _compile(quickly=_is_quick(item))


def _is_quick(item: pytest.Item) -> bool:
    return item.get_closest_marker("quick_compilation") is not None


def _compile(quickly: bool) -> None:
    """Have XLA optimise little or fully, and keep programs of the two kinds apart."""
    jax.config.update(_NO_OPTIMIZATIONS, quickly)
    options: Any = _quick_options if quickly else _full_options
    compiler.get_compile_options = options
    kind = "quick" if quickly else "full"
    jax.config.update("jax_compilation_cache_dir", str(_CACHES / kind))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    compilation_cache.reset_cache()


def _quick_options(**settings: Any) -> Any:
    """Do without the emitters of fusions: they take half the time of a compilation.

    JAX takes this option from a call of `jit` or from the environment, which programs
    that a test starts would inherit. What a call asks for, as agents do, takes longer.
    """
    given = settings.pop("env_options_overrides", None) or {}
    quick = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 0}
    options = {**given, **quick}
    return _full_options(env_options_overrides=options, **settings)


@pytest.fixture
def no_program_store() -> Iterator[None]:
    """Keep programs of units in this process alone."""
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.fixture
def no_hang() -> Iterator[None]:
    """End a test that waits for ever, as on a pipe."""

    def fail(*_: object) -> None:
        raise TimeoutError("the test hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of 24 candidates without training, the fourth of which failed."""

    def build(workdir: Path) -> None:
        run_search(workdir, tiny_config(), TableExecutor(faults={3: Status.FAILED}))

    return build_once(tmp_path_factory, "searched", build)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search by `launch.search`. Read only: other processes read it too."""
    return build_once(tmp_path_factory, "finished", finish_search)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training by `launch.train`. Read only: other processes read it too."""
    return build_once(tmp_path_factory, "trained", finish_training)


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models in every format, as `write_exports` has them. Read only."""
    from tests.helpers.trained_models import write_exports  # compiles

    return build_once(tmp_path_factory, "exports", write_exports)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("may not mount a small file system")
    yield folder
    # Whoever was stopped in it may take a moment to let go.
    for _ in range(50):
        if not subprocess.run(["umount", str(folder)], capture_output=True).returncode:
            return
        time.sleep(0.2)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    raise TimeoutError(f"{folder} stays in use")

"""Strict numerics for every test, set before jax starts; a small disk."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

# One thread, as every executor enforces: the bits of an evaluation depend on it.
os.environ["NPROC"] = "1"
os.environ["JAX_PLATFORMS"] = os.environ.get("JAX_PLATFORMS", "cpu")

# Nothing of the tests in the user's cache.
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).parents[1] / ".pytest_cache" / "home")

import hypothesis
import jax
import pytest

from bqnn.engines.unit_programs import accumulate, head_programs, unit_programs
from bqnn.engines.walk import reader
from bqnn.evaluation.records import Status
from tests.helpers.searches import TableExecutor, run_search, tiny_config
from tests.helpers.shared import build_once, finish_search, finish_training

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# Compilation takes its time, and a failure must repeat.
hypothesis.settings.register_profile("bqnn", deadline=None, derandomize=True)
hypothesis.settings.load_profile("bqnn")


# Modules whose tests take longest.
_LONG = ("test_chaos", "test_search", "test_train", "test_executors")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that all processes end together."""
    items.sort(key=lambda item: item.path.stem not in _LONG)


@pytest.fixture(scope="module")
def quick_compilation() -> Iterator[None]:
    """Have XLA compile with few optimisations, where nothing takes as long as that.

    For tests that compare numbers within a tolerance. Programs compiled so are kept
    neither on disk nor for the tests that follow in this process.
    """
    flag = "jax_disable_most_optimizations"
    before = jax.config.read(flag)
    cache_dir = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update(flag, True)
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update(flag, before)
    jax.config.update("jax_compilation_cache_dir", cache_dir)
    jax.clear_caches()
    for cached in (unit_programs, head_programs, accumulate, reader):
        cached.cache_clear()


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

"""Directories that several tests read: built once for all processes of a test run."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import programs
from tests.helpers.searches import TINY

TRAINED_BLOCK = "1,1,3,0,0;2,3,3,1,0"
TRAINED_FLAGS = (
    "--config=digits_final",
    "--config.network.widths=(4,)",
    "--config.train.epochs=12",
    "--config.data.validation=0.2",
    "--config.train.threads=1",
)
SEARCH_FLAGS = (
    "--config=quickstart",
    "--config.search.seed=0",
    "--config.agent.name=q",
    "--config.reward.kind=paper",
    *(
        f"--config.{section}.{name}={value}"
        for section, fields in TINY.items()
        for name, value in fields.items()
    ),
)
"""Of `launch.search`: the configuration of `tests.helpers.searches.tiny_config`."""


def build_once(
    factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None]
) -> Path:
    """Build a directory, unless another process of this test run has.

    Args:
      factory: of the session.
      name: of the directory.
      build: fills the directory, which it makes if need be.
    """
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, done = root / name, root / f"{name}.done"
    with open(root / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            build(folder)
            done.touch()
    return folder


def finish_search(workdir: Path) -> None:
    """Search as a user does, in worker processes."""
    done = programs.run("search", f"--workdir={workdir}", *SEARCH_FLAGS)
    assert (done.status, done.err) == (0, "")
    assert "the search is complete: 6 iterations, 24 candidates" in done.out
    assert "The 5 best blocks" in done.out


def finish_training(workdir: Path) -> None:
    """Train a block as a user does."""
    block = f"--block={TRAINED_BLOCK}"
    done = programs.run("train", f"--workdir={workdir}", block, *TRAINED_FLAGS)
    assert (done.status, done.err) == (0, "")
    assert "epoch 12/12: loss" in done.out
    assert "trained 12 epochs" in done.out

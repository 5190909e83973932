"""A child process ends when its master does."""

import multiprocessing.spawn
import subprocess
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from bqnn.executors.parent_death import skip_main_reimport


def _run(code: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_process_whose_master_is_gone_ends_at_once() -> None:
    end = (
        "from bqnn.executors.parent_death import end_with; end_with({}); print('alive')"
    )
    assert (_run(end.format(1)).returncode, _run(end.format(1)).stdout) == (1, "")
    child = _run("import os; " + end.format("os.getppid()"))
    assert (child.returncode, child.stdout) == (0, "alive\n")


def test_it_is_tied_to_its_master_before_it_imports_jax() -> None:
    code = "import sys, bqnn.executors.child; print({'jax', 'numpy'} & {*sys.modules})"
    assert _run(code).stdout == "set()\n"


@pytest.mark.parametrize("spec", [None, ModuleSpec("launch.search", None)])
def test_what_is_spawned_does_not_import_the_program(
    monkeypatch: pytest.MonkeyPatch, spec: ModuleSpec | None
) -> None:
    program = ModuleType("__main__")
    program.__spec__, program.__file__ = spec, "/somewhere/search.py"
    monkeypatch.setitem(sys.modules, "__main__", program)
    imported = {"init_main_from_name", "init_main_from_path"}
    assert imported & multiprocessing.spawn.get_preparation_data("worker").keys()
    with skip_main_reimport():
        prepared = multiprocessing.spawn.get_preparation_data("worker")
    assert not imported & prepared.keys()
    assert imported & multiprocessing.spawn.get_preparation_data("worker").keys()

"""The plan of the house in WORKSPACE.md, held by its import statements."""

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.paths import ROOT

PACKAGE = ROOT / "bqnn"


def _modules() -> dict[str, Path]:
    """Map the name of every module of bqnn to its file."""
    names = {
        path: ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
    }
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


MODULES = _modules()


def _imports(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else node.module


def _floors() -> list[str]:
    """List packages and modules of bqnn in the order of WORKSPACE.md's plan."""
    text = (ROOT / "WORKSPACE.md").read_text()
    plan = text.partition("## The plan")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ([^|]*) \|", plan, re.MULTILINE)
    return re.findall(r"`([a-z0-9_]+)(?:/|\.py)`", " ".join(cells))


def _floor(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_module_has_its_floor() -> None:
    there = {path.stem for path in PACKAGE.iterdir() if not path.stem.startswith("__")}
    floors = _floors()
    assert sorted(floors) == sorted(there)


def test_modules_import_only_from_the_floors_below() -> None:
    height = {"": -1, **{name: level for level, name in enumerate(_floors())}}
    upwards = [
        f"{module} imports {target}"
        for module, path in MODULES.items()
        for target in _imports(path)
        # The package itself has the version, and the public names, which are lazy.
        if target in MODULES and module != "bqnn"
        if height[_floor(target)] > height[_floor(module)]
    ]
    assert not upwards


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        module: {name for name in _imports(path) if name in MODULES}
        for module, path in MODULES.items()
        if module != "bqnn"
    }
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_the_library_knows_no_program_and_no_benchmark() -> None:
    roots = {name.split(".")[0] for path in MODULES.values() for name in _imports(path)}
    assert not roots & {"launch", "benchmarks", "tests"}


def test_importing_the_library_does_not_import_jax() -> None:
    code = "import bqnn, sys; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

"""The package declares all that it imports and reads, and nothing else."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator

from packaging.requirements import Requirement

from tests.helpers.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OURS = ("bqnn", "benchmarks", "launch")
SOURCES = [path for name in OURS for path in (ROOT / name).rglob("*.py")]

# Not imported: tensorflow-datasets needs them and does not say so; the page takes the
# JavaScript out of plotly.
UNSEEN = {"array-record", "importlib-resources", "plotly"}


def _distribution(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared(requirements: list[str]) -> set[str]:
    return {_distribution(Requirement(text).name) for text in requirements}


def _imported() -> Iterator[str]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield (node.module or "").split(".")[0]


def test_what_is_imported_is_declared_and_the_other_way_round() -> None:
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    needed = _declared(project["dependencies"])
    optional = _declared([r for n, e in extras.items() if n != "test" for r in e])
    names = importlib.metadata.packages_distributions()
    ours = {*OURS, *sys.stdlib_module_names}
    # Several distributions may share a name, as those of orbax do.
    makers = [
        {_distribution(maker) for maker in names.get(name, [name])}
        for name in {*_imported()} - ours
    ]
    assert not [some for some in makers if not some & (needed | optional)]
    assert needed - set().union(*makers) == UNSEEN


def test_every_version_that_is_declared_allows_the_tested_one() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pinned = {
        _distribution(line.split("==")[0]): line.split(";")[0].split("==")[1].strip()
        for line in lines
        if "==" in line
    }
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    tested = [*project["dependencies"], *extras["test"], *extras["ray"]]
    for requirement in map(Requirement, [*tested, *extras["onnx"]]):
        version = pinned[_distribution(requirement.name)]
        assert requirement.specifier.contains(version), requirement


def test_what_is_read_beside_the_code_is_packaged() -> None:
    data = PROJECT["tool"]["setuptools"]["package-data"]
    patterns = [
        (ROOT / package.replace(".", "/"), pattern)
        for package, group in data.items()
        for pattern in group
    ]
    packaged = {path for folder, pattern in patterns for path in folder.glob(pattern)}
    beside = {
        path
        for path in (ROOT / "bqnn").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert packaged == beside

"""The library's public names, and the README's snippets."""

import ast
import doctest
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import bqnn
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.quick_compilation

BLOCK = "1,1,3,0,0;2,2,3,1,0;3,5,0,1,2"


def test_every_public_name_has_a_docstring_and_an_example() -> None:
    for name in bqnn.__all__:
        documentation = getattr(bqnn, name).__doc__ or ""
        assert documentation, name
        if name[0].islower() and name not in ("figures",):
            assert ">>> " in documentation, name


@pytest.mark.parametrize("name", ["parse", "canonical_hash", "cost"])
def test_the_examples_of_docstrings_hold(name: str) -> None:
    examples = doctest.DocTestFinder(recurse=False).find(
        getattr(bqnn, name), globs={"bqnn": bqnn}
    )
    results = [doctest.DocTestRunner().run(example) for example in examples]
    assert sum(found.attempted for found in results) > 0
    assert not sum(found.failed for found in results)


def test_type_checkers_see_the_names_that_there_are() -> None:
    tree = ast.parse(Path(bqnn.__file__).read_text())
    (seen,) = (node for node in tree.body if isinstance(node, ast.If))
    homes = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in seen.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(homes) == set(bqnn.__all__)
    for name, (module, attribute) in homes.items():
        home = sys.modules.get(f"{module}.{attribute}")
        found = getattr(bqnn, name)
        assert found is (home or getattr(sys.modules[str(module)], attribute)), name


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        bqnn.serach  # noqa: B018 - the attribute is what is tested
    assert set(bqnn.__all__) <= set(dir(bqnn))


def test_a_block_costs_what_its_network_has() -> None:
    config = bqnn.NetworkConfig(widths=(4, 8), repeats=1)
    images = bqnn.ImageSpec(8, 8, 3, 5)
    network = bqnn.build(BLOCK, config, images)
    variables = network.init(jax.random.key(0))
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert bqnn.cost(BLOCK, config, images).params == count
    assert bqnn.cost(bqnn.parse(BLOCK), config, images).params == count


def test_a_built_network_is_the_module_as_functions() -> None:
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    network = bqnn.build(
        BLOCK, bqnn.NetworkConfig(widths=(4,), repeats=1), bqnn.ImageSpec(8, 8, 3, 5)
    )
    variables = network.init(jax.random.key(1))
    logits = network.apply(variables, images)
    assert logits.shape == (2, 5) and logits.dtype == np.float32
    same: Any = network.module.apply(variables, images, train=False)
    np.testing.assert_allclose(logits, same, rtol=1e-5, atol=1e-5)
    trained, _ = network.module.apply(
        variables, images, train=True, mutable=["batch_stats"]
    )
    assert not np.allclose(trained, logits)
    with pytest.raises(bqnn.BqnnError, match="want float32 or bfloat16"):
        bqnn.build(BLOCK, dtype="float16")


def _snippets() -> str:
    """Join the README's Python, as a reader would paste it."""
    text = (ROOT / "README.md").read_text()
    return "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))


def test_the_snippets_of_the_readme_run_where_bqnn_is_only_installed(
    tmp_path: Path,
) -> None:
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    # Built from a copy: setuptools leaves a folder beside what it builds.
    source = tmp_path / "source"
    for folder in ("bqnn", "launch", "benchmarks", "tests"):
        shutil.copytree(ROOT / folder, source / folder)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    offline = ["--no-build-isolation", "--target", str(site), str(source)]
    subprocess.run([*pip, *offline], check=True)
    assert not list(site.glob("benchmarks")) and not list(site.glob("tests"))
    script = tmp_path / "readme.py"
    shown = "import matplotlib\nmatplotlib.use('agg')\n"
    script.write_text(f"{shown}{_snippets()}\nprint(bqnn.__file__, logits.shape)\n")
    result = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={"PATH": "", "HOME": str(tmp_path), "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == f"{site}/bqnn/__init__.py (8, 10)"
    assert (tmp_path / "runs" / "mine" / "journal.sqlite").is_file()

"""Compiled programs on disk: kept, shared, mended when broken, switched off."""

import os
import pickle
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import bqnn
from bqnn import runtime
from bqnn.engines import program_key, program_store
from tests.helpers.paths import ROOT
from tests.helpers.programs import Fork, environment

PACKAGE = Path(bqnn.__file__).parent


def _start(cache_dir: str) -> Fork:
    return Fork("tests.helpers.warmed_fit", cache_dir)


def _finish(process: Fork) -> tuple[int, int, int, int, str]:
    status, output, _ = process.end()
    assert status == 0, output
    assert output.count("\n") == 1, output
    steps, total, warm, later, accuracy = output.split(maxsplit=4)
    return int(steps), int(total), int(warm), int(later), accuracy


def test_a_second_run_compiles_nothing_and_broken_files_are_replaced(
    tmp_path: Path,
) -> None:
    cache = str(tmp_path / "cache")
    # Two processes at once: what one writes, the other reads whole or not at all.
    first, twin = (_finish(p) for p in [_start(cache), _start(cache)])
    steps, total, compiled, later, accuracy = first
    assert steps == total > 10
    assert compiled > 20
    assert later == 0, "a candidate compiled something after the warm-up"
    assert twin[-1] == accuracy

    # Units on disk are left to the first candidate that needs them.
    again = _finish(_start(cache))
    assert again[0] == again[1] < total
    assert again[2:] == (0, 0, accuracy)

    files = sorted(tmp_path.glob("cache/*/bqnn/*"))
    assert len(files) > 10
    files[0].write_bytes(files[0].read_bytes()[:100])
    files[1].write_bytes(b"")
    for index, file in enumerate(files[2:], 2):
        # A flipped byte may load, and end the process once the program is called.
        data = bytearray(file.read_bytes())
        data[len(data) * index // (len(files) + 1)] ^= 0x10
        file.write_bytes(data)
    mended = _finish(_start(cache))
    assert 0 < mended[2] + mended[3] < compiled
    assert mended[-1] == accuracy
    assert _finish(_start(cache))[2:] == (0, 0, accuracy)


READ_BACK = """
import sys
from bqnn import runtime
from bqnn.engines import program_store
runtime.configure_process(1, sys.argv[1])
import jax, jax.numpy as jnp
add, x = jax.jit(lambda a, b: jnp.sin(a)[b] + 1), jnp.ones(8)
indices = jnp.arange(4)
if sys.argv[2] == "plain":
    y = add(x, indices)
else:
    (program,) = program_store.load_or_compile(lambda: [add.lower(x, indices)], "add")
    y = program(x, indices)
print(float(y.sum()))
"""


def test_a_program_that_jax_has_in_its_own_cache_is_stored_whole(
    tmp_path: Path,
) -> None:
    for kind in ("plain", "stored", "stored"):
        run = subprocess.run(
            [sys.executable, "-c", READ_BACK, str(tmp_path), kind],
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
        assert float(run.stdout) == pytest.approx(4 * 1.84147, rel=1e-4)
    assert len(list(tmp_path.glob("*/bqnn/*"))) == 1


def test_without_a_directory_nothing_is_kept(tmp_path: Path) -> None:
    elsewhere = {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.warmed_fit", ""],
        cwd=ROOT,
        env={**environment(), **elsewhere},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout.split()[2]) > 20
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    status, output, _ = _start(str(tmp_path / "file")).end()
    assert status == 0, output
    assert re.search(r"^\d+ \d+ (\d{2,}) ", output, re.MULTILINE), output


@pytest.mark.skipif(
    version("jaxlib") not in runtime._XLA_FLAGS, reason="no flags for this jaxlib"
)
@pytest.mark.parametrize("given", ["", "--xla_cpu_enable_fast_math=false"])
def test_flags_are_added_to_those_of_the_user(given: str) -> None:
    script = "from bqnn import runtime; runtime.configure_process(1); import os; "
    script += "print(os.environ.get('XLA_FLAGS', ''))"
    env = {**os.environ, "XLA_FLAGS": given}
    run = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True
    )
    assert run.stdout.startswith(given)
    assert "--xla_cpu_experimental_ynn_fusion_type=-LIBRARY" in run.stdout


def test_a_flag_that_the_user_set_stays_as_it_is() -> None:
    given = "--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_DOT"
    script = "from bqnn import runtime; runtime.configure_process(1); import os; "
    script += "print(os.environ['XLA_FLAGS'])"
    env = {**os.environ, "XLA_FLAGS": given}
    run = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True
    )
    assert run.stdout.strip() == given


def _refused(cache: Path) -> str:
    """Start with a cache; returns the line that says why it is refused."""
    script = f"from bqnn import runtime; runtime.configure_process(1, {str(cache)!r})"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    return run.stderr.splitlines()[-1] if run.returncode else ""


def test_programs_are_kept_where_nobody_else_may_write(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert _refused(cache) == ""
    (kind,) = cache.iterdir()
    assert [d.stat().st_mode & 0o777 for d in (cache, kind)] == [0o700, 0o700]
    for open_to_others in (cache, kind):
        open_to_others.chmod(0o770)
        line = _refused(cache)
        assert f"ConfigError: {open_to_others}, where" in line
        assert "may be written by other users" in line
        open_to_others.chmod(0o755)
    assert _refused(cache) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_programs_of_another_user_are_refused(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    os.chown(cache, 12345, -1)
    assert "belongs to another user (uid 12345)" in _refused(cache)


def test_an_entry_that_another_wrote_is_not_unpickled(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    with pytest.raises(ValueError, match="not an entry"):
        program_store._loads(pickle.dumps([Attack()]))
    assert not (tmp_path / "ran").exists()


def test_the_key_is_the_code_of_what_decides_a_program() -> None:
    files = {
        path.relative_to(PACKAGE).as_posix()
        for path in program_key.deciding_files("bqnn.engines.walk")
    }
    assert {"engines/walk.py", "networks/kernels.py", "networks/plan.py"} <= files
    assert not any(file.startswith(("agents/", "final/", "search/")) for file in files)
    units = program_key.deciding_files("bqnn.engines.unit_programs")
    assert PACKAGE / "engines/walk.py" not in units


def test_other_code_has_another_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "bqnn"
    shutil.copytree(PACKAGE, package)
    monkeypatch.setattr(program_key, "_PACKAGE", package)

    def key() -> str:
        program_key._code_hash.cache_clear()
        return program_key.code_hash("bqnn.engines.walk")

    before = key()
    with open(package / "search" / "orders.py", "a") as file:
        file.write("# nothing to do with programs\n")
    assert key() == before
    walk = package / "engines" / "walk.py"
    walk.write_text(walk.read_text().replace("gather(images", "gather(2 * images"))
    assert key() != before
    monkeypatch.undo()
    program_key._code_hash.cache_clear()


def test_the_key_can_be_asked_for_in_many_threads() -> None:
    program_key._code_hash.cache_clear()
    engines = sorted((PACKAGE / "engines").glob("*.py"))
    modules = [f"bqnn.engines.{path.stem}" for path in engines]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(program_key.code_hash, modules))
    assert found == [program_key.code_hash(module) for module in modules]

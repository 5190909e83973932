"""The command `bqnn`, and the commands that programs print."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from launch import __main__ as command
from launch import cli
from tests.helpers.paths import ROOT


def test_it_knows_every_program() -> None:
    guard = 'if __name__ == "__main__":\n    cli.run'
    files = (ROOT / "launch").glob("*.py")
    programs = {file.stem for file in files if guard in file.read_text()}
    assert {*command.PROGRAMS} == programs
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"bqnn": "launch.__main__:main"}


def test_help_lists_programs_and_imports_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bqnn", "--help"])
    command.main()
    lines = capsys.readouterr().out.splitlines()
    for name in command.PROGRAMS:
        (line,) = (line for line in lines if line.startswith(f"  bqnn {name} "))
        assert line.endswith(".")
    code = (
        "import sys, launch.__main__; print({'jax', 'absl', 'numpy'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == "set()\n"


def test_no_program_imports_what_is_slow_before_it_has_read_its_flags() -> None:
    # Then a search imports jax alone of these: its workers import the engines.
    # Programs share names of flags, but no process.
    code = f"""
import importlib, sys
from absl import flags
for name in {command.PROGRAMS}:
    importlib.import_module(f"launch.{{name}}")
    for flag in list(flags.FLAGS):
        delattr(flags.FLAGS, flag)
slow = {{"flax", "jax", "matplotlib", "optax", "orbax", "scipy", "tensorstore"}}
print(slow & {{*sys.modules}})
import bqnn.driver
print(sorted(slow & {{*sys.modules}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("set()\n['jax']\n", "")


@pytest.mark.parametrize("argument", [[], ["serach"]])
def test_an_unknown_program_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argument: list[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["bqnn", *argument])
    with pytest.raises(SystemExit) as end:
        command.main()
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1
    assert "want one of search, watch" in err


def test_it_runs_a_program_as_python_does(tmp_path: Path) -> None:
    script = tmp_path / "bqnn"
    script.write_text("from launch.__main__ import main\nmain()\n")
    block = "1,1,3,0,0;2,7,0,0,0"
    done = subprocess.run(
        [sys.executable, script, "show", f"--block={block}"],
        env={"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"NSC: {block}" in done.stdout


def test_hints_name_what_was_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script, python = tmp_path / "bin" / "bqnn", tmp_path / "a b" / "bin" / "python"
    for file in (script, python):
        file.parent.mkdir(parents=True)
        file.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "orig_argv", [str(python), "-m", "launch.search"])
    assert cli.command("show") == "'a b/bin/python' -m launch.show"
    monkeypatch.setattr(sys, "orig_argv", [str(python), str(script), "search"])
    assert cli.command("show") == "bin/bqnn show"
    monkeypatch.chdir(python.parent)
    assert cli.command("show") == f"{script} show"
    monkeypatch.setenv("PATH", str(script.parent))
    assert cli.command("show") == "bqnn show"


def test_a_failed_write_leaves_no_trace_of_others_behind(tmp_path: Path) -> None:
    # Several times in a hundred, a thread of TensorStore finds the loop closed.
    code = f"""
import asyncio
import tensorstore
from launch import cli

async def write():
    files = {{"driver": "file", "path": {str(tmp_path)!r}}}
    store = await tensorstore.KvStore.open(files)
    async def awaited(write):
        await write
    async def failed(write):
        await write
        raise ValueError
    writes = [store.write(f"{{i}}", b"content") for i in range(20)]
    await asyncio.gather(failed(writes[0]), *map(awaited, writes[1:]))

def main():
    for _ in range(200):
        try:
            asyncio.run(write())
        except ValueError:
            pass
    class Broken:
        def __del__(self):
            raise ValueError("another error")
    Broken()

cli.guarded(main)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stderr.startswith("Exception ignored in") and (
        done.stderr.splitlines()[-1] == "ValueError: another error"
    )
    assert "Event loop is closed" not in done.stderr

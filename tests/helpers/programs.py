"""Programs tried with many command lines in one process: importing them takes long."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.helpers.paths import ROOT

_RUN = """
import contextlib, importlib, io, json, sys
from absl import flags
from bqnn.config import Config
from launch import cli
program = importlib.import_module(sys.argv[1])
answers = []
for arguments in json.loads(sys.argv[2]):
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    sys.argv = ["program", *arguments]
    out, err = io.StringIO(), io.StringIO()
    config = getattr(program, "FinalConfig", Config)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.parse_flags(sys.argv, config)
            cli.guarded(program.main)
            status = 0
        except SystemExit as end:
            status = end.code
    answers.append([status, out.getvalue(), err.getvalue()])
print(json.dumps(answers))
"""


class Answer(NamedTuple):
    """What a program did: its exit status and what it printed."""

    status: int
    out: str
    err: str


def answers(
    program: str, commands: Sequence[Sequence[str]], cwd: Path = ROOT
) -> list[Answer]:
    """Start a program with each of the command lines, none of which starts jax."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, f"launch.{program}", json.dumps(commands)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return [Answer(*answer) for answer in json.loads(done.stdout.splitlines()[-1])]

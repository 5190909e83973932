"""Programs: real processes, or forks of one that has imported what all of them need."""

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.helpers.paths import ROOT


class Answer(NamedTuple):
    """What a program did: its exit status and what it printed."""

    status: int
    out: str
    err: str


QUICKLY = "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0"
"""Flags of XLA with which it optimises little, where nothing takes as long."""


def answer(program: str, *arguments: str, cwd: Path = ROOT, flags: str = "") -> Answer:
    """Run a program in a fork of the server: its imports take no time.

    Args:
      program: a module of `launch`.
      arguments: of the command line.
      cwd: the directory it is run in.
      flags: of XLA, if any.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        command = {
            "program": program,
            "arguments": arguments,
            "cwd": str(cwd),
            "flags": flags,
            "out": str(out),
            "err": str(err),
        }
        server = _server()
        assert server.stdin and server.stdout
        server.stdin.write(json.dumps(command) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        return Answer(status, out.read_text(), err.read_text())


def answers(
    program: str, commands: Sequence[Sequence[str]], cwd: Path = ROOT
) -> list[Answer]:
    """Run a program with each of the command lines, one after the other."""
    return [answer(program, *arguments, cwd=cwd) for arguments in commands]


def command(program: str, *arguments: str) -> list[str]:
    """Write the command of a real process."""
    return [sys.executable, "-m", f"launch.{program}", *arguments]


def environment() -> dict[str, str]:
    """Return the environment of a user's shell: without what the tests set for jax."""
    names = ("NPROC", "JAX_PLATFORMS")
    return {k: v for k, v in os.environ.items() if k not in names}


def start(
    program: str, *arguments: str, stderr: int = subprocess.PIPE
) -> "subprocess.Popen[str]":
    """Start a program as a user does, in a process of its own."""
    return subprocess.Popen(
        command(program, *arguments),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def run(program: str, *arguments: str) -> Answer:
    """Run a program as a user does, in a process of its own."""
    process = start(program, *arguments)
    out, err = process.communicate(timeout=300)
    return Answer(process.returncode, out, err)


@functools.cache
def _server() -> "subprocess.Popen[str]":
    """Start the server that forks; it ends with this process."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.forking"],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)
    return server

"""Programs: real processes, or forks of one that has imported what all of them need."""

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.helpers.paths import ROOT


class Answer(NamedTuple):
    """What a program did: its exit status and what it printed."""

    status: int
    out: str
    err: str


_QUICKLY = "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1"


class Fork:
    """A program in a fork of the server: its imports take no time.

    Attributes:
      pid: the id of its process.
      stdout: what it prints, errors included.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        """Start `python -m MODULE ARGUMENTS`."""
        read, write = os.pipe()
        out = f"/proc/{os.getpid()}/fd/{write}"
        self.pid = _forked(module, arguments, ROOT, out, out)
        os.close(write)
        self.stdout = os.fdopen(read)
        self._status: int | None = None

    def poll(self, block: bool = False) -> int | None:
        """Return its exit status; None while it runs, unless to `block`."""
        if self._status is None:
            self._status = _ask({"wait": self.pid, "block": block})
        return self._status

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def end(self) -> Answer:
        """Wait until it ends: how it ended, and the rest of what it printed."""
        with self.stdout:
            rest = self.stdout.read()
        status = self.poll(block=True)
        assert status is not None
        return Answer(status, rest, "")


def start(program: str, *arguments: str) -> Fork:
    """Start a program of `launch` in a fork of the server."""
    return Fork(f"launch.{program}", *arguments)


def answer(program: str, *arguments: str, cwd: Path = ROOT) -> Answer:
    """Run a program of `launch` in a fork of the server, in a directory."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = (Path(folder) / name for name in ("out", "err"))
        pid = _forked(f"launch.{program}", arguments, cwd, str(out), str(err))
        status = _ask({"wait": pid, "block": True})
        return Answer(status, out.read_text(), err.read_text())


def _forked(
    module: str, arguments: Sequence[str], cwd: Path, out: str, err: str
) -> int:
    """Start a module in a fork of the server, return its process id."""
    command = {
        "module": module,
        "arguments": arguments,
        "cwd": str(cwd),
        "out": out,
        "err": err,
    }
    return int(_ask(command))


def _ask(command: Mapping[str, Any]) -> Any:
    """Have the server do something, return its answer."""
    server = _server()
    assert server.stdin and server.stdout
    server.stdin.write(json.dumps(command) + "\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


def answers(
    program: str, commands: Sequence[Sequence[str]], cwd: Path = ROOT
) -> list[Answer]:
    """Run a program with each of the command lines, one after the other."""
    return [answer(program, *arguments, cwd=cwd) for arguments in commands]


def command(program: str, *arguments: str) -> list[str]:
    """Write the command of a real process."""
    return [sys.executable, "-m", f"launch.{program}", *arguments]


def environment() -> dict[str, str]:
    """Return the environment of a user's shell: without what the tests set for jax.

    But for flags with which XLA optimises less: programs compile most of the time.
    """
    names = ("NPROC", "JAX_PLATFORMS")
    kept = {k: v for k, v in os.environ.items() if k not in names}
    return {**kept, "XLA_FLAGS": _QUICKLY}


def run(program: str, *arguments: str) -> Answer:
    """Run a program as a user does, in a process of its own."""
    done = subprocess.run(
        command(program, *arguments),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


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

"""Machines: network namespaces of this one, joined by a cable, with a Ray node each."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.helpers.paths import ROOT

PORT = 6379
_CABLE = "cable"
_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_agent_register_timeout_ms": "200000",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}


class Machines:
    """Two machines, 0 and 1; all that runs on them ends with `close`."""

    def __init__(self) -> None:
        """Make them; needs root, and `ip`."""
        self._names = [f"bqnn-{os.getpid()}-{n}" for n in range(2)]
        self._running: list[subprocess.Popen[str]] = []
        self._folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # short: has sockets
        for name in self._names:
            _ip("netns", "add", name)
        first, second = self._names
        peer = ["peer", "name", _CABLE, "netns", second]
        _ip("link", "add", _CABLE, "netns", first, "type", "veth", *peer)
        for number, name in enumerate(self._names):
            _ip("-n", name, "addr", "add", f"{address(number)}/24", "dev", _CABLE)
            for device in ("lo", _CABLE):
                _ip("-n", name, "link", "set", device, "up")
            # By which a program finds its own address.
            _ip("-n", name, "route", "add", "default", "dev", _CABLE)

    def start(self, number: int, command: Sequence[str]) -> "subprocess.Popen[str]":
        """Run a program on a machine, in a process group of its own."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self._names[number], *command],
            cwd=ROOT,
            env={**os.environ, **_RAY},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._running.append(process)
        return process

    def start_node(self, number: int) -> "subprocess.Popen[str]":
        """Start the Ray node of a machine, with one core; machine 0 has the head."""
        where = [f"--address={address(0)}:{PORT}"]
        if number == 0:
            where = ["--head", f"--port={PORT}", "--include-dashboard=false"]
            where.append(f"--temp-dir={self._folder}/{len(self._running)}")
        ray = str(Path(sys.executable).with_name("ray"))
        own = [f"--node-ip-address={address(number)}", "--num-cpus=1", "--block"]
        node = self.start(number, [ray, "start", *where, *own])
        health = [ray, "health-check", f"--address={address(0)}:{PORT}"]
        while self.start(0, health).wait():
            assert node.poll() is None, node.communicate()
            time.sleep(1)
        return node

    def plug(self, connected: bool) -> None:
        """Connect the machines, or cut the cable."""
        first = self._names[0]
        _ip("-n", first, "link", "set", _CABLE, "up" if connected else "down")
        if connected:  # The route went with the cable.
            _ip("-n", first, "route", "replace", "default", "dev", _CABLE)

    def close(self) -> None:
        """End all that runs on the machines, and the machines."""
        for process in self._running:
            kill(process)
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()
        for name in self._names:
            pids = _ip("netns", "pids", name).split()
            for pid in map(int, pids):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            _ip("netns", "del", name)
        shutil.rmtree(self._folder, ignore_errors=True)


def address(number: int) -> str:
    """Return the address of a machine."""
    return f"10.77.0.{number + 1}"


def kill(process: "subprocess.Popen[str]") -> None:
    """Kill a program and what it has started, as a machine that loses its power."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def machines() -> Iterator[Machines]:
    """Make two machines, for a while."""
    made = Machines()
    try:
        yield made
    finally:
        made.close()


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=True)
    return done.stdout

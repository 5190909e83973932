"""Contender process: a process that does the jobs of one contender."""

import contextlib
import json
import os
import subprocess
import sys
from typing import Any

from bqnn.errors import BqnnError


class ContenderProcess:
    """A process that answers a JSON object with one; a context manager."""

    def __init__(self, name: str, module: str, *arguments: str) -> None:
        """Start `python -m module name *arguments`."""
        self._name = name
        command = [sys.executable, "-m", module, name, *arguments]
        # A process that allocates the whole accelerator leaves nothing for its rivals.
        env = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env=env
        )

    def send(self, **job: Any) -> None:
        """Send a job."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Wait for the answer.

        Raises:
          BqnnError: if the process ended instead.
        """
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise BqnnError(
                f"the benchmark's process for {self._name} ended with status "
                f"{self._process.wait()}: see its message above"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, **job: Any) -> dict[str, Any]:
        """Send a job and wait for the answer."""
        self.send(**job)
        return self.receive()

    def __enter__(self) -> "ContenderProcess":
        """Return the process."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.terminate()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

"""Server: imports once what all programs import, and forks to run each command.

python -m tests.helpers.forking

A line of JSON on standard input is a command: `program`, `arguments`, `cwd`, the
files `out` and `err` for what it prints, and maybe `flags` of XLA. A line on standard
output is the exit status.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import sys
import warnings
from typing import Any

# Together they import nearly all of bqnn, jax, Flax, Orbax and Matplotlib. None starts
# jax: its threads would not survive a fork.
_MODULES = (
    "bqnn.compare.evaluators",
    "bqnn.data",
    "bqnn.evaluation.evaluate",
    "bqnn.executors.registry",
    "bqnn.final.selection",
    "bqnn.final.train",
    "bqnn.report.confusion",
    "bqnn.report.draw",
    "bqnn.report.page.page",
    "bqnn.search.master",
    "ml_collections.config_flags",
    "rich.progress",
    "scipy.optimize",
    "scipy.stats",
)
_LONGEST = 200  # seconds, after which a command is killed


def serve() -> None:
    """Run commands, each in a fork, until standard input ends."""
    # jax warns of its threads, which are not there yet.
    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            return _run(json.loads(line))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(command: dict[str, Any]) -> None:
    """Run a program as `python -m` does; does not return to the server's loop."""
    signal.alarm(_LONGEST)
    os.chdir(command["cwd"])
    if flags := command.get("flags"):
        os.environ["XLA_FLAGS"] = flags
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for fd, file in ((1, command["out"]), (2, command["err"])):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), fd)
    sys.argv = ["program", *command["arguments"]]
    runpy.run_module(
        f"launch.{command['program']}", run_name="__main__", alter_sys=True
    )


if __name__ == "__main__":
    for module in _MODULES:
        importlib.import_module(module)
    gc.freeze()  # a collection in a fork would copy all pages of the modules
    serve()

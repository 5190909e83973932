"""Server: imports once what all programs import, and forks to run each command.

python -m tests.helpers.forking

A line of JSON on standard input is a command: the `module` and its `arguments`, `cwd`,
and the files `out` and `err` for what it prints. A line on standard output is the id of
its process. With `wait`, the id of such a process, and whether to `block`, the line is
its exit status, or `null` while it runs.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import threading
import warnings
from typing import Any, NoReturn

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
    """Do what standard input says, until it ends."""
    # jax warns of its threads, which are not there yet.
    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
    for line in sys.stdin:
        command = json.loads(line)
        if "wait" in command:
            pid, status = os.waitpid(
                command["wait"], 0 if command["block"] else os.WNOHANG
            )
            answer = os.waitstatus_to_exitcode(status) if pid else None
            print(json.dumps(answer), flush=True)
            continue
        files = [_opened(command[name]) for name in ("out", "err")]
        pid = os.fork()
        if pid == 0:
            _run(command, files)
        for file in files:
            os.close(file)
        print(pid, flush=True)


def _opened(file: str) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)


def _run(command: dict[str, Any], files: list[int]) -> NoReturn:
    """Run a program as `python -m` does; does not return, but by an error."""
    signal.alarm(_LONGEST)
    os.chdir(command["cwd"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in enumerate(files, 1):
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["program", *command["arguments"]]
    try:
        runpy.run_module(command["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            raise
        _end(end.code or 0)
    _end(0)


def _end(status: int) -> NoReturn:
    """End as Python does, but for taking all modules apart, which takes 0.3 s."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    for module in _MODULES:
        importlib.import_module(module)
    gc.freeze()  # a collection in a fork would copy all pages of the modules
    serve()

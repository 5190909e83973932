"""Executors: where candidates are evaluated. All give the same results."""

from collections.abc import Callable

from bqnn.config import Config
from bqnn.executors.executor import Executor
from bqnn.executors.inline import InlineExecutor

MakeExecutor = Callable[[Config, Callable[[], bool], str | None], Executor]

EXECUTORS: dict[str, MakeExecutor] = {"inline": InlineExecutor}
"""Executors by the name that `--executor` takes.

Made from the configuration, from what tells whether the user asked to stop, and from
the directory where compiled programs are kept.
"""

__all__ = ["EXECUTORS", "Executor", "InlineExecutor"]

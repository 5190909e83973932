"""Executors: where candidates are evaluated. All give the same results."""

from collections.abc import Callable

from bqnn.config import Config
from bqnn.executors.executor import Executor
from bqnn.executors.inline import InlineExecutor

EXECUTORS: dict[str, Callable[[Config], Executor]] = {"inline": InlineExecutor}
"""Executors by the name that `--executor` takes."""

__all__ = ["EXECUTORS", "Executor", "InlineExecutor"]

"""Executors: where candidates are evaluated. All give the same results."""

from collections.abc import Callable

from bqnn.config import Config
from bqnn.executors.executor import Executor
from bqnn.executors.inline import InlineExecutor

EXECUTORS: dict[str, Callable[[Config, Callable[[], bool]], Executor]] = {
    "inline": InlineExecutor
}
"""Executors by the name that `--executor` takes.

Made from the configuration, and from what tells whether the user asked to stop.
"""

__all__ = ["EXECUTORS", "Executor", "InlineExecutor"]

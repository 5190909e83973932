"""Executors: where candidates are evaluated. All give the same results."""

from collections.abc import Callable

from bqnn.config import Config
from bqnn.executors.executor import Executor
from bqnn.executors.inline import InlineExecutor
from bqnn.executors.observed import ObservedExecutor
from bqnn.executors.options import Options
from bqnn.executors.process import ProcessExecutor
from bqnn.executors.ray import RayExecutor

EXECUTORS: dict[str, Callable[[Config, Options], Executor]] = {
    "inline": InlineExecutor,
    "process": ProcessExecutor,
    "ray": RayExecutor,
}
"""Executors by the name that `--executor` takes."""

__all__ = [
    "EXECUTORS",
    "Executor",
    "InlineExecutor",
    "ObservedExecutor",
    "Options",
    "ProcessExecutor",
    "RayExecutor",
]

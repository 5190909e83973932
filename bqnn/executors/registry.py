"""Registry: executors by name."""

from collections.abc import Callable

from bqnn.config import Config
from bqnn.config.checks import check
from bqnn.executors.executor import Executor, Options
from bqnn.executors.inline import InlineExecutor
from bqnn.executors.process import ProcessExecutor
from bqnn.executors.ray import RayExecutor

EXECUTORS: dict[str, Callable[[Config, Options], Executor]] = {
    "inline": InlineExecutor,
    "process": ProcessExecutor,
    "ray": RayExecutor,
}
"""Executors by the name that `--executor` takes."""


def make_executor(name: str, config: Config, options: Options) -> Executor:
    """Make an executor; call it before jax starts.

    Raises:
      ConfigError: for another name, or if jax has started with other threads.
    """
    check("executor", name, name in EXECUTORS, " or ".join(EXECUTORS))
    return EXECUTORS[name](config, options)

"""Compilation: programs compiled in threads, each once for all that ask for it."""

import functools
import os
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, Generic, ParamSpec, TypeVar

from bqnn import numerics

P = ParamSpec("P")
R = TypeVar("R")

Job = Callable[[], Any]
"""Compiles, or loads, one set of programs."""


class CompiledOnce(Generic[P, R]):
    """A decorator that keeps results, as `functools.cache` does.

    Unlike there, threads that ask for a result that one of them is computing wait for
    it. Arguments must be hashable. An error is raised in all of them, and not kept.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        """Begin with no results."""
        self._function, self._lock = function, Lock()
        self._kept: dict[Hashable, Future[R]] = {}
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the result, which the first call computes."""
        key = args, frozenset(kwargs.items())
        with self._lock:
            found = self._kept.get(key)
            future = found or self._kept.setdefault(key, Future())
        if found is None:
            try:
                future.set_result(self._function(*args, **kwargs))
            except BaseException as error:
                self._kept.pop(key, None)
                future.set_exception(error)
        return future.result()

    def cache_clear(self) -> None:
        """Forget all results."""
        self._kept.clear()


def submit_all(jobs: Iterable[Job]) -> list[Future[Any]]:
    """Start jobs in the threads of this process, one per core, in their order."""
    return [_threads().submit(numerics.pinned()(job)) for job in jobs]


def run_all(jobs: Iterable[Job]) -> None:
    """Run jobs in these threads, and wait for them.

    Raises:
      Exception: as the first job that fails raises it.
    """
    for future in submit_all(jobs):
        future.result()


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="compile")

"""Compile the programs of a whole search before its first candidate."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.engines import engine_name
from bqnn.unit_programs import accumulate, unit_programs
from bqnn.units import Signature, space_signatures


class Progress(NamedTuple):
    """How far a warm-up is: units compiled, of how many."""

    done: int
    total: int


def warm_up(config: Config, dataset: Dataset) -> Iterator[Progress]:
    """Compile every unit that a candidate can be made of, in parallel threads.

    Nothing is done where candidates are compiled whole. What the compilation cache
    holds is only loaded.

    Args:
      config: of the search.
      dataset: that it learns from.

    Yields:
      Progress after every unit. Whoever stops iterating leaves the rest undone.
    """
    if engine_name(config.train, config.network) != "walk":
        return
    signatures = space_signatures(config.space.max_layers, config.network, dataset.spec)
    batch = min(config.train.batch, len(dataset.train.labels))
    # The dearest first, so that no thread is left alone with one at the end.
    jobs = [
        _unit(s, config, batch) for s in sorted(signatures, key=_size, reverse=True)
    ]
    pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="compile")
    try:
        futures = [pool.submit(job) for job in jobs]
        for done, future in enumerate(as_completed(futures), 1):
            future.result()
            yield Progress(done, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)


def _unit(signature: Signature, config: Config, batch: int) -> Callable[[], Any]:
    def compile_unit() -> None:
        unit_programs(signature, config.train, batch)
        last = signature.nodes[-1]
        if last.op != "head":
            shape = (batch, last.height, last.width, last.channels)
            accumulate(shape, config.train.dtype)

    return compile_unit


def _size(signature: Signature) -> int:
    return sum(
        node.kernel**2 * node.channels * node.height * node.width
        for node in signature.nodes
    )

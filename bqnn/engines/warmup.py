"""Compile the programs of a whole search before its first candidate."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import Any, NamedTuple

from bqnn import numerics
from bqnn.config import Config, TrainConfig
from bqnn.data import Dataset
from bqnn.engines import engine_name
from bqnn.engines.unit_programs import accumulate, unit_programs
from bqnn.engines.unit_state import layout
from bqnn.engines.units import Signature, space_signatures
from bqnn.engines.walk import reader


class Progress(NamedTuple):
    """How far a warm-up is: programs compiled, of how many."""

    done: int
    total: int


def warm_up(config: Config, dataset: Dataset) -> Iterator[Progress]:
    """Compile all that a candidate can be made of, in parallel threads.

    Nothing is done where candidates are compiled whole. What is kept on disk
    (`bqnn.engines.program_store`) is only loaded.

    Args:
      config: of the search.
      dataset: that it learns from.

    Yields:
      Progress, as it is made. Whoever stops iterating leaves the rest undone.
    """
    if engine_name(config.train, config.network) != "walk":
        return
    jobs = _jobs(config, dataset)
    pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="compile")
    try:
        futures = [pool.submit(numerics.pinned()(job)) for job in jobs]
        for done, future in enumerate(as_completed(futures), 1):
            future.result()
            yield Progress(done, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)


def _jobs(config: Config, dataset: Dataset) -> list[Callable[[], Any]]:
    """List what to compile, the dearest first, so that all threads end together."""
    signatures = sorted(
        space_signatures(config.space.max_layers, config.network, dataset.spec),
        key=_size,
        reverse=True,
    )
    batch = min(config.train.batch, len(dataset.train.labels))
    return [
        *(partial(_compile_unit, s, config.train, batch) for s in signatures),
        partial(reader, batch, dataset.train),
        partial(reader, batch, dataset.validation),
    ]


def _compile_unit(signature: Signature, config: TrainConfig, batch: int) -> None:
    layout(signature, config)
    unit_programs(signature, config, batch)
    last = signature.nodes[-1]
    if last.op != "head":
        accumulate((batch, last.height, last.width, last.channels), config.dtype)


def _size(signature: Signature) -> int:
    return sum(
        node.kernel**2 * node.channels * node.height * node.width
        for node in signature.nodes
    )

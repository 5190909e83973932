"""Warm-up: compile the programs of a whole search before its first candidate."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import Any

from bqnn import numerics
from bqnn.config import Config, TrainConfig
from bqnn.data import Dataset
from bqnn.engines.progress import WarmUpProgress
from bqnn.engines.registry import engine_name
from bqnn.engines.unit_programs import accumulate, head_programs, unit_programs
from bqnn.engines.unit_state import unit_layout
from bqnn.engines.units import UnitSignature, space_signatures
from bqnn.engines.walk import reader, specs_of


def warm_up(config: Config, dataset: Dataset) -> Iterator[WarmUpProgress]:
    """Compile the programs of all units of a search space, in parallel threads.

    Programs that are kept on disk (`bqnn.engines.program_store`) are only loaded. Where
    candidates are compiled whole, there is nothing to do.

    Args:
      config: the configuration of the search.
      dataset: its data.

    Yields:
      WarmUpProgress after every program. Closing the iterator cancels the rest.
    """
    if engine_name(config.train, config.network) != "walk":
        return
    jobs = _jobs(config, dataset)
    pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="compile")
    try:
        futures = [pool.submit(numerics.pinned()(job)) for job in jobs]
        for done, future in enumerate(as_completed(futures), 1):
            future.result()
            yield WarmUpProgress(done, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)


def _jobs(config: Config, dataset: Dataset) -> list[Callable[[], Any]]:
    """List the compilations, the longest first, so that all threads end together."""
    signatures = sorted(
        space_signatures(config.space.max_layers, config.network, dataset.spec),
        key=_size,
        reverse=True,
    )
    batch = min(config.train.batch, len(dataset.train.labels))
    return [
        *(partial(_compile_unit, s, config.train, batch) for s in signatures),
        partial(reader, batch, specs_of(dataset.train)),
        partial(reader, batch, specs_of(dataset.validation)),
    ]


def _compile_unit(signature: UnitSignature, config: TrainConfig, batch: int) -> None:
    unit_layout(signature, config)
    last = signature.nodes[-1]
    if last.op == "head":
        head_programs(signature, config, batch)
    else:
        unit_programs(signature, config, batch)
        accumulate((batch, last.height, last.width, last.channels), config.dtype)


def _size(signature: UnitSignature) -> int:
    """Estimate the work of a unit, and so the time that its compilation takes."""
    return sum(
        node.kernel**2 * node.channels * node.height * node.width
        for node in signature.nodes
    )

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
from bqnn.engines.unit_programs import (
    accumulate,
    are_kept,
    head_programs,
    unit_programs,
)
from bqnn.engines.units import Shape, UnitSignature, space_signatures
from bqnn.engines.walk import reader, specs_of


def warm_up(config: Config, dataset: Dataset) -> Iterator[WarmUpProgress]:
    """Compile the programs of all units of a search space, in parallel threads.

    Units whose programs are on disk (`bqnn.engines.program_store`) are left out: the
    first candidate that needs one loads it, in a few milliseconds. Where candidates are
    compiled whole, there is nothing to do.

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
    train, batch = config.train, min(config.train.batch, len(dataset.train.labels))
    outputs = {_output(s) for s in signatures if s.nodes[-1].op != "head"}
    return [
        *(
            partial(_compile_unit, s, train, batch)
            for s in signatures
            if not are_kept(s, train, batch)
        ),
        *(partial(accumulate, (batch, *shape), train.dtype) for shape in outputs),
        partial(reader, batch, specs_of(dataset.train)),
        partial(reader, batch, specs_of(dataset.validation)),
    ]


def _compile_unit(signature: UnitSignature, config: TrainConfig, batch: int) -> None:
    is_head = signature.nodes[-1].op == "head"
    (head_programs if is_head else unit_programs)(signature, config, batch)


def _output(signature: UnitSignature) -> Shape:
    last = signature.nodes[-1]
    return last.height, last.width, last.channels


def _size(signature: UnitSignature) -> int:
    """Estimate the work of a unit, and so the time that its compilation takes."""
    return sum(
        node.kernel**2 * node.channels * node.height * node.width
        for node in signature.nodes
    )

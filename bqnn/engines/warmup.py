"""Warm-up: compile the programs of a whole search before its first candidate."""

from collections.abc import Iterator
from concurrent.futures import as_completed, wait
from functools import partial

from bqnn import runtime
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.engines.compilation import Job, submit_all
from bqnn.engines.progress import WarmUpProgress
from bqnn.engines.registry import engine_name
from bqnn.engines.unit_programs import accumulate, are_kept, compile_unit
from bqnn.engines.units import UnitSignature, space_signatures
from bqnn.engines.walk import reader, specs_of


def warm_up(config: Config, dataset: Dataset) -> Iterator[WarmUpProgress]:
    """Compile the programs of all units of a search space, in parallel threads.

    Units whose programs are on disk (`bqnn.engines.program_store`) are left out: the
    first candidate that needs one loads it, in a few milliseconds. Where candidates are
    compiled whole, there is nothing to do. Neither is there on accelerators: the host
    compiles what the next candidates need while one trains, and would compile most of
    the 264 programs of the paper's space for none.

    Args:
      config: the configuration of the search.
      dataset: its data.

    Yields:
      WarmUpProgress after every program. Closing the iterator cancels the rest.
    """
    images = len(dataset.train.labels)
    walked = engine_name(config.train, config.network, images) == "walk"
    if runtime.accelerated() or not walked:
        return
    futures = submit_all(_jobs(config, dataset))
    try:
        for done, future in enumerate(as_completed(futures), 1):
            future.result()
            yield WarmUpProgress(done, len(futures))
    finally:
        running = [future for future in futures if not future.cancel()]
        wait(running)  # a process that exits while XLA compiles crashes


def _jobs(config: Config, dataset: Dataset) -> list[Job]:
    """List the compilations, the longest first, so that all threads end together."""
    signatures = sorted(
        space_signatures(config.space, config.network, dataset.spec),
        key=_size,
        reverse=True,
    )
    train, batch = config.train, min(config.train.batch, len(dataset.train.labels))
    outputs = {s.output for s in signatures if s.nodes[-1].op != "head"}
    return [
        *(
            partial(compile_unit, s, train, batch)
            for s in signatures
            if not are_kept(s, train, batch)
        ),
        *(partial(accumulate, (batch, *shape), train.dtype) for shape in outputs),
        partial(reader, batch, specs_of(dataset.train)),
        partial(reader, batch, specs_of(dataset.validation)),
    ]


def _size(signature: UnitSignature) -> int:
    """Estimate the work of a unit, and so the time that its compilation takes."""
    return sum(
        node.kernel**2 * node.channels * node.height * node.width
        for node in signature.nodes
    )

"""Device: parts of launch.bench that say how one GPU, TPU or CPU is used."""

from collections.abc import Callable, Mapping
from typing import Any

from absl import flags
from rich.console import Console

from bqnn import runtime
from launch import cli

_FAST = flags.DEFINE_bool(
    "fast",
    False,
    "Accelerator and determinism on the smallest networks alone: 5 minutes on a CPU.",
)

_BLOCKS = (
    "1,1,3,0,0;2,1,3,1,0;3,5,0,0,2",
    "1,1,3,0,0;2,1,5,0,0;3,2,3,0,0;4,5,0,1,2;5,6,0,3,4",
)
_ENGINES = ("walk", "step", "scan")
_SETTINGS: tuple[str, ...] = ("quickstart", "cifar", "paper")


def read_by() -> dict[str, tuple[str, ...]]:
    """Say which parts read a flag of this module."""
    return {"fast": tuple(PARTS)}


def _accelerator(console: Console) -> dict[str, Any]:
    from benchmarks import accelerator, accelerator_searches, accelerator_table
    from bqnn.space.nsc import parse

    # On a CPU a convolution in a loop is 30 times slower: nobody scans there.
    engines = _ENGINES if runtime.accelerated() else _ENGINES[:2]
    # There the paper's networks take minutes an epoch, and a search of its space more.
    settings = _SETTINGS if runtime.accelerated() else _SETTINGS[:2]
    small = _FAST.value or not runtime.accelerated()
    if _FAST.value:
        settings = settings[:1]
    precisions = list(accelerator.PRECISIONS)[1 if _FAST.value else 0 :]
    blocks = [parse(text) for text in _BLOCKS[: 1 if _FAST.value else None]]
    rows: list[accelerator.AcceleratorRow] = []
    for setting in settings:
        jobs = len(engines) * len(precisions) * len(blocks)
        for on_job in cli.progress(console, f"engines, {setting}", jobs):
            found = [*accelerator.measure(setting, engines, precisions, blocks, on_job)]
        console.print(accelerator_table.engine_table(found))
        rows += found
    chosen = tuple(
        search
        for search in accelerator_searches.SEARCHES
        if search.engine in engines and not (small and search.layers > 6)
    )
    for on_search in cli.progress(console, "searches", len(chosen)):
        searches = [*accelerator_searches.measure(chosen, on_search)]
    console.print(accelerator_table.search_table(searches))
    return {
        "engines": [row._asdict() for row in rows],
        "searches": [
            {**row.search._asdict(), "per_hour": row.per_hour, "first": row.first}
            for row in searches
        ],
    }


def _determinism(console: Console) -> list[dict[str, Any]]:
    from benchmarks import accelerator_table, determinism

    accelerated = runtime.accelerated()
    engines = _ENGINES if accelerated else _ENGINES[:1]
    settings = ("quickstart",) if _FAST.value else ("quickstart", "cifar")
    rows: list[determinism.DeterminismRow] = []
    for setting in settings:
        jobs = determinism.processes(engines, accelerated)
        for on_process in cli.progress(console, f"determinism, {setting}", jobs):
            found = [
                *determinism.measure(
                    setting,
                    _BLOCKS,
                    engines,
                    accelerated,
                    runtime.default_cache_dir(),
                    on_process,
                )
            ]
        console.print(f"{setting}:")
        console.print(accelerator_table.determinism_table(found))
        rows += found
    return [row._asdict() for row in rows]


PARTS: Mapping[str, Callable[[Console], Any]] = {
    "accelerator": _accelerator,
    "determinism": _determinism,
}
"""What measures each part, and prints its tables."""

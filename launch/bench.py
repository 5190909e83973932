"""Measure what candidates and the agent cost, against their rivals, in one run.

  python -m launch.bench                            # about 40 minutes on 2 cores
  python -m launch.bench --random=20 --seed=1 --json=bench.json
  python -m launch.bench --parts=candidates --quick  # walked and PyTorch alone
  python -m launch.bench --parts=search --workers=1 --workers=8    # whole searches
  python -m launch.bench --parts=models --table=nasbench201.csv --draws=20
  python -m launch.bench --parts=rewards --table=nasbench201.csv --draws=200
  python -m launch.bench --parts=stopping --curves=runs/whole --draws=200
  python -m launch.bench --parts=repeats --draws=100
  python -m launch.bench --scale            # the master with up to 1,024 workers
  python -m launch.bench --parts=accelerator --parts=determinism --parts=final  # a GPU

Rivals: the same networks in plain Flax layers, compiled whole, and in PyTorch where it
is installed (pip install torch==2.13.0); a Q-learner over Python dictionaries; models
that rank blocks, trees among them where scikit-learn is installed; rules that stop
trainings, on the curves of searches. Linux.
"""

import itertools
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console

from bqnn import machine, runtime
from bqnn.errors import BqnnError
from bqnn.space.nsc import Block
from launch import cli, device, studies

try:
    from benchmarks.setting import BLOCKS, SETTINGS, random_blocks
except ModuleNotFoundError as error:
    if error.name != "benchmarks":
        raise
    sys.exit("error: the benchmarks are not installed: run this in a clone of bqnn")

_TIMED = ("candidates", "final", "search", "agent", "memory", "kernels")
_USUAL = (*_TIMED, *studies.PARTS)
_SHOWN = flags.DEFINE_multi_enum(
    "parts", _USUAL, [*_USUAL, *device.PARTS], "What to measure."
)
_SETTINGS = flags.DEFINE_multi_enum(
    "settings",
    ["quickstart", "cifar"],
    list(SETTINGS),
    "Shapes and recipes of the candidates.",
)
_WORKERS = flags.DEFINE_multi_integer(
    "workers",
    [1, 2],
    "Processes of each contender at work at once, a core each.",
    lower_bound=1,
    upper_bound=max(2, os.cpu_count() or 1),
)
_RANDOM = flags.DEFINE_integer(
    "random", 0, "Random blocks besides the eight fixed ones.", lower_bound=0
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of the random blocks and of the virtual searches.", lower_bound=0
)
_SOAK = flags.DEFINE_integer(
    "soak", 300, "Candidates of one process that must not grow.", lower_bound=51
)
_TORCH_COMPILE = flags.DEFINE_bool(
    "torch_compile",
    False,
    "Also train in full through torch.compile, which takes a minute a block.",
)
_QUICK = flags.DEFINE_bool(
    "quick",
    False,
    "Leave out the rivals that compile whole candidates: most of the time.",
)
_SCALE = flags.DEFINE_bool(
    "scale",
    False,
    "Only this: the master with up to 1,024 workers on a virtual clock (10 minutes).",
)
_JSON = flags.DEFINE_string("json", None, "File to write the figures to.")

# Which parts, --scale among them, read a flag.
_READ_BY = {
    "settings": ("candidates", "final", "kernels"),
    "workers": ("candidates", "search"),
    "random": ("candidates", "final"),
    "seed": ("candidates", "final", "memory", "scale"),
    "torch_compile": ("final",),
    "quick": ("candidates",),
    "soak": ("memory",),
}


def main() -> None:
    """Measure the parts asked for and print their tables."""
    shown = ("scale",) if _SCALE.value else _SHOWN.value
    _refuse_what_has_no_effect(shown)
    console = cli.console()
    if _JSON.value:
        # Now, not when half an hour of measuring has nowhere to go.
        _write(Path(_JSON.value), {})
    runtime.configure_process(1, runtime.default_cache_dir())
    report: dict[str, Any] = {"device": runtime.device(), **runtime.versions()}
    parts = {
        "candidates": _candidates,
        "final": _final,
        "search": _search,
        "agent": _agent,
        "memory": _memory,
        "kernels": _kernels,
        "scale": _scale,
        **studies.PARTS,
        **device.PARTS,
    }
    console.print(f"on {report['device']}, {platform.platform()}", soft_wrap=True)
    for name in shown:
        report[name] = parts[name](console)
    if _JSON.value:
        _write(Path(_JSON.value), report)


def _refuse_what_has_no_effect(shown: Sequence[str]) -> None:
    if _SCALE.value:
        cli.refuse(("parts",), "with --scale")
    for name, parts in {**_READ_BY, **studies.read_by(), **device.read_by()}.items():
        if not {*parts} & {*shown}:
            cli.refuse((name,), f"without --parts={' or '.join(parts)}")


def _candidates(console: Console) -> list[dict[str, Any]]:
    import jax

    from benchmarks import candidates, contenders, table

    accelerated = jax.default_backend() != "cpu"
    _say_if_without_torch(console, contenders.available(accelerated, 1))
    blocks = _blocks()
    rows: list[candidates.CandidateRow] = []
    for setting, workers in itertools.product(_SETTINGS.value, _WORKERS.value):
        names = contenders.available(accelerated, workers)
        if _QUICK.value:
            names = tuple(name for name in names if name not in contenders.SLOW)
        jobs = len(names) * (len(blocks) + 1)
        for on_job in cli.progress(console, f"{setting}, {workers} at once", jobs):
            measured = candidates.measure(
                SETTINGS[setting], names, blocks, workers, on_job
            )
            rows.extend(measured)
    console.print(table.candidate_table(rows))
    return [row._asdict() for row in rows]


def _final(console: Console) -> list[dict[str, Any]]:
    import jax

    from benchmarks import final, table

    accelerated = jax.default_backend() != "cpu"
    names = final.available(accelerated, _TORCH_COMPILE.value)
    _say_if_without_torch(console, names)
    blocks, threads = _blocks(), machine.cores()
    rows: list[final.FinalRow] = []
    for setting in _SETTINGS.value:
        jobs = len(names) * len(blocks)
        for on_job in cli.progress(console, f"full training, {setting}", jobs):
            measured = final.measure(SETTINGS[setting], names, blocks, threads, on_job)
            rows.extend(measured)
    console.print(table.final_table(rows))
    return [row._asdict() for row in rows]


def _blocks() -> tuple[Block, ...]:
    return BLOCKS + random_blocks(_RANDOM.value, _SEED.value)


def _say_if_without_torch(console: Console, names: Sequence[str]) -> None:
    if "PyTorch" not in names:
        console.print("without PyTorch: pip install torch==2.13.0 to compare with it")


def _search(console: Console) -> list[dict[str, Any]]:
    from benchmarks import table, throughput

    counts, cache_dir = _WORKERS.value, runtime.default_cache_dir()
    for on_search in cli.progress(console, "searches", len(counts)):
        rows = list(throughput.measure(counts, cache_dir, on_search))
    console.print(table.throughput_table(rows))
    return [{**row._asdict(), "per_hour": row.per_hour} for row in rows]


def _agent(console: Console) -> dict[str, Any]:
    from benchmarks import agents

    for _ in cli.progress(console, "agent", None):
        times = agents.measure()
    console.print(agents.summary(times))
    ratios = {"speedup": times.speedup, "seeds_ratio": times.seeds_ratio}
    return {**times._asdict(), **ratios}


def _memory(console: Console) -> dict[str, Any]:
    from benchmarks import memory

    for on_job in cli.progress(console, "memory", _SOAK.value):
        growth = memory.measure(_SOAK.value, _SEED.value, on_job)
    console.print(
        f"resident memory after {memory.EARLY} candidates {growth.early / 1e6:,.0f} "
        f"MB, after {growth.candidates} {growth.late / 1e6:,.0f} MB: "
        f"x {growth.ratio:.3f}"
    )
    return growth._asdict()


def _kernels(console: Console) -> list[dict[str, Any]]:
    from benchmarks import kernels, table

    rows: list[kernels.KernelRow] = []
    for setting in _SETTINGS.value:
        for _ in cli.progress(console, f"kernels, {setting}", None):
            rows.extend(kernels.measure(SETTINGS[setting]))
    console.print(table.kernel_table(rows))
    return [row._asdict() for row in rows]


def _scale(console: Console) -> list[dict[str, Any]]:
    from benchmarks import scale, table

    rows: list[scale.ScaleRow] = []
    for order, workers in itertools.product(scale.ORDERS, scale.WORKERS):
        what = f"{order}, {workers:,} workers"
        count = scale.batches(workers)
        for on_told in cli.progress(console, what, count):
            row = scale.measure(order, workers, _SEED.value, count, on_told)
            rows.append(row)
    console.print(table.utilisation_table(rows))
    console.print(table.master_table(rows))
    return [row._asdict() for row in rows]


def _write(path: Path, report: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(report, indent=1), encoding="utf-8")
    except OSError as error:
        raise BqnnError(f"--json={path}: {error.strerror}") from error


if __name__ == "__main__":
    cli.run(main)

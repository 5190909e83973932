"""Accelerator: how engines use one device, by network, in processes of their own.

`python -m benchmarks.accelerator JOB` trains one candidate and prints a JSON object; so
is JOB. `measure` runs it for every engine and precision in turn.
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import matmul
from benchmarks.setting import SETTINGS, BenchSetting
from bqnn import runtime
from bqnn.errors import BqnnError
from bqnn.networks.cost import network_cost
from bqnn.space.nsc import Block, parse

PRECISIONS: Mapping[str, tuple[str, str | None]] = {
    "float32": ("float32", "highest"),
    "as searches run": ("float32", None),
    "bfloat16": ("bfloat16", None),
}
"""Dtype and precision of products, by name. If None, GPUs multiply float32 as TF32."""

_TIMED = 2  # epochs, of which the faster counts


class Job(NamedTuple):
    """A candidate to train.

    Attributes:
      setting: name of the setting.
      engine: that trains it.
      precision: of `PRECISIONS`.
      block: of the candidate.
    """

    setting: str
    engine: str
    precision: str
    block: str


class AcceleratorRow(NamedTuple):
    """One candidate by one engine.

    Attributes:
      setting: name of the setting.
      engine: that trained it.
      precision: of `PRECISIONS`.
      block: the candidate.
      prepared: seconds before the first step, nothing compiled before.
      again: the same for a second candidate of the same block.
      step: seconds of a step.
      images_per_second: in training.
      used: rate of the convolutions, forward and backward, as a fraction of that of
        large matrix products of this precision.
      idle: fraction of the training in which the device computed nothing; None where
        the profiler does not tell, as on the CPU.
    """

    setting: str
    engine: str
    precision: str
    block: str
    prepared: float
    again: float
    step: float
    images_per_second: float
    used: float
    idle: float | None


def measure(
    setting: str,
    engines: Sequence[str],
    precisions: Sequence[str],
    blocks: Sequence[Block],
    on_job: Callable[[], None] = lambda: None,
) -> Iterator[AcceleratorRow]:
    """Train every block by every engine in every precision.

    Args:
      setting: name of the setting.
      engines: their names.
      precisions: names in `PRECISIONS`.
      blocks: of the candidates.
      on_job: called after every candidate.

    Raises:
      BqnnError: if a process fails.
    """
    for block in blocks:
        for precision in precisions:
            for engine in engines:
                job = Job(setting, engine, precision, str(block))
                command = [sys.executable, "-m", __name__, json.dumps(job)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
                if done.returncode:
                    raise BqnnError(
                        f"{engine}, {precision}: the training ended with status "
                        f"{done.returncode}: see its message above"
                    )
                yield AcceleratorRow(*json.loads(done.stdout))
                on_job()


def run(job: Job) -> AcceleratorRow:
    """Train one candidate in this process."""
    import jax

    setting = SETTINGS[job.setting]
    dtype, products = PRECISIONS[job.precision]
    train = dataclasses.replace(setting.train, dtype=dtype)
    with jax.default_matmul_precision(products):
        return _run(job, setting._replace(train=train))


def _run(job: Job, setting: BenchSetting) -> AcceleratorRow:
    import jax

    from bqnn.data.batches import epoch_batches
    from bqnn.engines.registry import ENGINES
    from bqnn.evaluation.evaluate import on_device

    plan = setting.plan(parse(job.block))
    dataset, config = on_device(setting.dataset()), setting.train
    batches = epoch_batches(setting.train_images, config.batch, 0, 0)
    prepared: list[float] = []
    for _ in range(2):
        start = time.perf_counter()
        engine = ENGINES[job.engine](plan, config, dataset)
        state = jax.block_until_ready(engine.init(0))
        prepared.append(time.perf_counter() - start)

    def epoch(state: Any) -> tuple[Any, float]:
        start = time.perf_counter()
        state, _ = engine.train(state, batches, 0.001, lambda: None)
        return state, time.perf_counter() - start

    state, _ = epoch(state)
    times = []
    for _ in range(_TIMED):
        state, seconds = epoch(state)
        times.append(seconds)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            epoch(state)
        idle = idle_share(Path(folder))
    steps = len(batches.indices)
    size = 4096 if runtime.accelerated() else 1024
    # A multiply-add is two operations; backward does twice the work of forward.
    flops = 2 * 3 * network_cost(plan).flops * steps * config.batch
    return AcceleratorRow(
        *job,
        prepared=prepared[0],
        again=prepared[1],
        step=min(times) / steps,
        images_per_second=steps * config.batch / min(times),
        used=flops / min(times) / matmul.rate(size, dtype=config.dtype),
        idle=idle,
    )


def idle_share(folder: Path) -> float | None:
    """Compute which part of a profile a device computed nothing.

    From its first operation to its last.

    Args:
      folder: where `jax.profiler.trace` wrote.

    Returns:
      A fraction; None if the profile has no device beside the host.
    """
    import jax

    shares = []
    for path in folder.rglob("*.xplane.pb"):
        for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
            if plane.name.startswith("/device:"):
                events = (event for line in plane.lines for event in line.events)
                spans = [(e.start_ns, e.start_ns + e.duration_ns) for e in events]
                shares += [idle_between(spans)] if spans else []
    return min(shares, default=None)


def idle_between(spans: Sequence[tuple[float, float]]) -> float:
    """Compute which fraction of their whole time no span covers.

    Args:
      spans: start and end of each, in any order; they may overlap.
    """
    ordered = sorted(spans)
    (first, reached), idle = ordered[0], 0.0
    for start, end in ordered[1:]:
        idle += max(0.0, start - reached)
        reached = max(reached, end)
    return idle / (reached - first) if reached > first else 0.0


def main(text: str) -> None:
    """Train, and print what came of it."""
    job = Job(*json.loads(text))
    runtime.configure_process(SETTINGS[job.setting].train.threads)
    print(json.dumps(run(job)))


if __name__ == "__main__":
    main(*sys.argv[1:])

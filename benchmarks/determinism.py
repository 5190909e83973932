"""Determinism: whether trainings repeated elsewhere end with the same bits.

Candidates are trained twice in one process, in a second one, in a third that compiles
all anew, and in a fourth in another order, as a worker of another search would. What
differs first, by candidate, step, node and array, is named.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.fingerprints import Fingerprint, Job
from bqnn.errors import BqnnError

STEPS = 8

FLAGS: Mapping[str, str] = {
    "as searches run": "",
    "deterministic ops": "--xla_gpu_deterministic_ops=true",
    "no autotuning": "--xla_gpu_autotune_level=0",
    "both": "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0",
}
"""XLA flags by name. All but the first are for GPUs, and not tried elsewhere."""


class DeterminismRow(NamedTuple):
    """One engine under one set of flags.

    Attributes:
      flags: name of the flags.
      engine: name of the engine.
      differs: by what was repeated, where the repetition first differs; empty if
        nowhere.
      milliseconds: of the fastest step.
    """

    flags: str
    engine: str
    differs: Mapping[str, str]
    milliseconds: float


def measure(
    setting: str,
    blocks: tuple[str, ...],
    engines: Sequence[str],
    accelerated: bool,
    cache_dir: str,
    on_process: Callable[[], None] = lambda: None,
) -> Iterator[DeterminismRow]:
    """Train candidates again and again.

    Args:
      setting: name of the setting.
      blocks: of the candidates.
      engines: that train them.
      accelerated: whether this is a GPU, for which there are flags to try.
      cache_dir: of compiled programs.
      on_process: called after every process, of `processes(...)`.

    Raises:
      BqnnError: if a process fails.
    """
    for name, engine in itertools.product(flags(accelerated), engines):
        job = Job(setting, engine, (*blocks, *blocks), STEPS, cache_dir)
        once, backwards = (job._replace(blocks=b) for b in (blocks, blocks[::-1]))
        first = _run(job, FLAGS[name], on_process)
        count, twice = len(blocks), first["fingerprints"]
        again, other = (_run(j, FLAGS[name], on_process) for j in (once, backwards))
        with tempfile.TemporaryDirectory() as empty:
            cold = _run(once._replace(cache_dir=empty), FLAGS[name], on_process)
        repeated = {
            "the same process": twice[count:],
            "another process": again["fingerprints"],
            "another order": other["fingerprints"][::-1],
            "compiled anew": cold["fingerprints"],
        }
        yield DeterminismRow(
            name,
            engine,
            {what: first_difference(twice[:count], p) for what, p in repeated.items()},
            1e3 * first["seconds"],
        )


def flags(accelerated: bool) -> list[str]:
    """List the names of the flags to try."""
    return list(FLAGS) if accelerated else list(FLAGS)[:1]


def processes(engines: Sequence[str], accelerated: bool) -> int:
    """Count the processes of `measure`."""
    return 4 * len(engines) * len(flags(accelerated))


def first_difference(
    one: Sequence[Sequence[Fingerprint]], other: Sequence[Sequence[Fingerprint]]
) -> str:
    """Describe where two trainings first differ; empty if nowhere.

    Args:
      one: fingerprints by candidate and step.
      other: as `one`, of the same candidates and steps.
    """
    for candidate, pair in enumerate(zip(one, other, strict=True)):
        for step, (left, right) in enumerate(zip(*pair, strict=True)):
            for node in left:
                arrays = zip(left[node], right[node], strict=True)
                for index, (a, b) in enumerate(arrays):
                    if a != b:
                        return f"block {candidate}, step {step}, {node}, array {index}"
    return ""


def _run(job: Job, xla_flags: str, on_process: Callable[[], None]) -> Any:
    given = f"{os.environ.get('XLA_FLAGS', '')} {xla_flags}".strip()
    environment = {
        **os.environ,
        "XLA_FLAGS": given,
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    command = [sys.executable, "-m", "benchmarks.fingerprints"]
    done = subprocess.run(
        [*command, json.dumps(job._asdict())],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    if done.returncode:
        raise BqnnError(
            f"a training with {xla_flags or 'no flags'} ended with status "
            f"{done.returncode}: see its message above"
        )
    on_process()
    return json.loads(done.stdout)

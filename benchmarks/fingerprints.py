"""Fingerprints of trainings: a checksum of every unit's parameters after every step.

`python -m benchmarks.fingerprints JOB` trains candidates and prints a JSON object; so
is JOB. Two processes that print the same have trained to the same bits.
"""

import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.setting import SETTINGS, BenchSetting
from bqnn import runtime
from bqnn.space.nsc import parse

Fingerprint = Mapping[str, Sequence[str]]
"""Name of a node -> checksums of its parameters, in the order of `jax.tree.leaves`."""


class Job(NamedTuple):
    """Candidates to train.

    Attributes:
      setting: name of the setting.
      engine: that trains them.
      blocks: of the candidates, in order.
      steps: of each.
      cache_dir: of compiled programs; none if empty.
    """

    setting: str
    engine: str
    blocks: tuple[str, ...]
    steps: int
    cache_dir: str


class Trained(NamedTuple):
    """What was trained.

    Attributes:
      fingerprints: by candidate and step.
      seconds: of a step, the fastest.
    """

    fingerprints: list[list[Fingerprint]]
    seconds: float


def train(job: Job) -> Trained:
    """Train candidates one after the other in this process, each with seed 0."""
    setting = SETTINGS[job.setting]
    dataset = setting.dataset()
    found, seconds = [], []
    for text in job.blocks:
        prints, times = _train_one(setting, job, text, dataset)
        found.append(prints)
        seconds += times
    return Trained(found, min(seconds))


def _train_one(
    setting: BenchSetting, job: Job, text: str, dataset: Any
) -> tuple[list[Fingerprint], list[float]]:
    from bqnn.data.batches import Batches, epoch_batches
    from bqnn.engines.registry import ENGINES

    plan, batch = setting.plan(parse(text)), setting.train.batch
    engine = ENGINES[job.engine](plan, setting.train, dataset)
    order = epoch_batches(len(dataset.train.labels), batch, 0, 0)
    state, prints, times = engine.init(0), [], []
    for step in range(job.steps):
        at = step % len(order.indices)
        one = Batches(order.indices[at : at + 1], order.mask[at : at + 1])
        start = time.perf_counter()
        state, _ = engine.train(state, one, 0.001, lambda: None)
        times.append(time.perf_counter() - start)
        prints.append(_fingerprint(engine, state))
    return prints, times


def _fingerprint(engine: Any, state: Any) -> Fingerprint:
    import jax

    if isinstance(state, list):  # walked: a state of every unit
        units = zip(engine.units, state, strict=True)
        trees = {"+".join(unit.names): own.params for unit, own in units}
    else:
        trees = dict(state.params)
    leaves = jax.device_get({k: jax.tree.leaves(v) for k, v in trees.items()})
    return {name: [*map(_hash, arrays)] for name, arrays in leaves.items()}


def _hash(array: Any) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


def main(text: str) -> None:
    """Train, and print what came of it."""
    values = json.loads(text)
    job = Job(**{**values, "blocks": tuple(values["blocks"])})
    threads = SETTINGS[job.setting].train.threads
    runtime.configure_process(threads, job.cache_dir or None)
    print(json.dumps(train(job)._asdict()))


if __name__ == "__main__":
    main(*sys.argv[1:])

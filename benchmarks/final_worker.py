"""Final worker: a process that trains networks in full for one contender.

`python -m benchmarks.final_worker CONTENDER SETTING THREADS` reads a JSON object from
every line of its input and answers each with the `seconds` that it took: a `block` to
begin with, which takes a first step too, and then a number of `steps`.
"""

import json
import os
import sys
import time
from collections.abc import Callable

from benchmarks import final
from benchmarks.setting import SETTINGS, BenchSetting
from bqnn import runtime
from bqnn.space.nsc import Block, parse

TakeSteps = Callable[[int], None]
"""Takes so many steps of the optimiser, and waits for them."""


def main(contender: str, setting_name: str, threads: str) -> None:
    """Answer until the input ends."""
    setting = SETTINGS[setting_name]
    if contender == final.OURS:
        runtime.configure_process(int(threads), runtime.default_cache_dir())
    else:
        os.environ["NPROC"] = threads
    take_steps: TakeSteps | None = None
    for line in sys.stdin:
        job = json.loads(line)
        start = time.perf_counter()
        if "block" in job:
            block = parse(job["block"])
            take_steps = _begin(contender, setting, block, int(threads))
            take_steps(1)
        else:
            assert take_steps
            take_steps(job["steps"])
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


def _begin(
    contender: str, setting: BenchSetting, block: Block, threads: int
) -> TakeSteps:
    if contender == final.OURS:
        return _ours(setting, block, threads)
    from benchmarks.torch_final import train_in_full

    compiled = contender == final.COMPILED
    return train_in_full(setting, block, threads, compiled)


def _ours(setting: BenchSetting, block: Block, threads: int) -> TakeSteps:
    """Train as `bqnn.final.loop` does."""
    import itertools

    import jax

    from bqnn import parallel
    from bqnn.final.config import FinalConfig, RecipeConfig
    from bqnn.final.feed import Resident
    from bqnn.final.job import TrainingRun, make_setup
    from bqnn.final.step import init_state, make_train_step

    dataset = setting.dataset()
    recipe = RecipeConfig(batch=setting.train.batch, threads=threads)
    config = FinalConfig(network=setting.network, train=recipe)
    feed = Resident(dataset.train, dataset.validation, recipe)
    run = TrainingRun(
        block,
        config,
        setting.images,
        dataset.class_names,
        dataset.mean,
        dataset.std,
    )
    setup = make_setup(run, feed.steps, feed.read)
    state = parallel.replicate(init_state(setup))
    data = parallel.replicate(feed.data)
    train = parallel.pmap_replicas(make_train_step(setup), donate=(0,))
    epochs = (feed.train(epoch, 0) for epoch in itertools.count())
    batches = itertools.chain.from_iterable(epochs)

    def take_steps(steps: int) -> None:
        nonlocal state
        losses: list[jax.Array] = []
        for batch in itertools.islice(batches, steps):
            jax.block_until_ready(losses[-2:-1])
            state, loss = train(state, data, parallel.shard(batch))
            losses.append(loss)
        jax.block_until_ready(losses)

    return take_steps


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A training of 20 steps on some devices, as a program: it prints the losses.

python -m tests.replicas DEVICES [COORDINATOR PROCESSES PROCESS]
"""

import json
import os
import sys

STEPS = 20
BATCH = 32


def losses(sync: bool = True) -> list[float]:
    """Train a small network; return the loss of every step."""
    import jax

    from bqnn import parallel
    from bqnn.config import NetworkConfig
    from bqnn.final.config import FinalConfig, FinalDataConfig, RecipeConfig
    from bqnn.final.job import make_setup, open_job
    from bqnn.final.step import init_state, make_train_step
    from bqnn.space import nsc

    # A rate at which 20 steps do not amplify what rounding does to a ReLU.
    recipe = RecipeConfig(
        epochs=1, batch=BATCH, learning_rate=0.002, sync_batch_stats=sync
    )
    data = FinalDataConfig("digits", cutout=2)
    config = FinalConfig(data, NetworkConfig("small", (4, 6), repeats=1), recipe)
    job = open_job(nsc.parse("1,1,3,0,0;2,3,3,1,0;3,5,0,1,2"), config)
    setup = make_setup(job.run, job.feed.steps, job.feed.read)
    state = parallel.replicate(init_state(setup))
    images = parallel.replicate(job.feed.data)
    step = parallel.pmap_replicas(make_train_step(setup), donate=(0,))
    found = []
    for _, batch in zip(range(STEPS), job.feed.train(0, 0), strict=False):
        state, loss = step(state, images, parallel.shard(batch))
        found.append(float(parallel.unreplicate(loss)))
    jax.block_until_ready(state)
    return found


if __name__ == "__main__":
    # As the test that compares: compiling takes longest.
    quickly = "--xla_cpu_use_fusion_emitters=false"
    devices = f"--xla_force_host_platform_device_count={sys.argv[1]}"
    os.environ["XLA_FLAGS"] = f"{quickly} {devices}"
    if len(sys.argv) > 2:
        from bqnn import parallel

        parallel.join(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    print("losses", json.dumps(losses()))

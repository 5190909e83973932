"""A warm-up and a short training, as a program: it prints what was compiled.

python -m tests.helpers.warmed_fit CACHE_DIR

It prints the steps of the warm-up, how many it announced, programs compiled in it and
after it, and the accuracies. Without CACHE_DIR (an empty word) it keeps no program.
"""

import sys

from bqnn import runtime
from bqnn.config import Config, NetworkConfig, SpaceConfig, TrainConfig


def main() -> None:
    """Warm up, train, and print."""
    runtime.configure_process(1, sys.argv[1] or None)
    import jax

    from bqnn.engines.registry import ENGINES
    from bqnn.engines.warmup import warm_up
    from bqnn.evaluation.fit import fit
    from bqnn.networks.plan import plan
    from bqnn.space.nsc import parse
    from tests.helpers.networks import SPEC, random_dataset

    config = Config(
        space=SpaceConfig(2),
        network=NetworkConfig("small", (4,), 1),
        train=TrainConfig(epochs=2, batch=16),
    )
    compiled: list[float] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    data = random_dataset(48, 16)
    steps = list(warm_up(config, data))
    count = len(compiled)
    network = plan(parse("1,1,3,0,0;2,5,0,0,1"), config.network, SPEC)
    engine = ENGINES["walk"](network, config.train, data)
    accuracy = fit(engine, engine.init(0), config.train, data, 0).accuracy
    print(len(steps), steps[-1].total, count, len(compiled) - count, accuracy)


if __name__ == "__main__":
    main()

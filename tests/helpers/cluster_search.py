"""A search on a cluster, as a program that can lose parts of it.

python -m tests.helpers.cluster_search WORKDIR SECONDS [ADDRESS]

SECONDS: of a candidate, most of it rest. ADDRESS: of the head; without it, in this
process.
"""

import sys
from pathlib import Path

from bqnn import driver, runtime
from bqnn.config import Config
from bqnn.executors.executor import Executor, Options
from bqnn.executors.inline import InlineExecutor
from bqnn.executors.ray import RayExecutor
from bqnn.search.master import Limits
from launch import cli
from tests.helpers.faults import slow
from tests.helpers.searches import tiny_config


def config() -> Config:
    """A search of 24 candidates."""
    return tiny_config(
        agent={"schedule": "1.0:5,0.5:1"}, search={"lag": 1}, budget={"timeout": 600}
    )


def main() -> None:
    """Search as `launch.search` does, and end as it does."""
    workdir, seconds = Path(sys.argv[1]), float(sys.argv[2])
    address = sys.argv[3] if len(sys.argv) > 3 else None
    interrupted = cli.Interrupt()
    options = Options(
        interrupted=interrupted,
        cache_dir=runtime.default_cache_dir(),
        address=address,
        make_worker=slow(seconds),
    )
    kind = RayExecutor if address else InlineExecutor
    executor: Executor = kind(config(), options)
    screen = driver.Screen(cli.console(), False, interrupted)
    driver.train(config(), workdir, executor, Limits(), screen)


if __name__ == "__main__":
    cli.guarded(main)

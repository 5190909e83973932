"""Search for a block, or go on with a search: one work directory, one command.

  python -m launch.search --config=quickstart --workdir=runs/first

Any field of the configuration can be set: --config.agent.alpha=0.05. Run the same
command again to go on after Ctrl-C, a crash or a kill; nothing evaluated is lost.

With --evaluations=DIR --config.train.seed=0, searches share what they have trained.
--learn_from=WORKDIR tells the agent the results of an earlier search, and
--try_first=FILE asks the blocks of a file first. Both are copied into the journal.

--then_train goes on with a full training of the best, in the directory WORKDIR_final.

--estimate says what the search will cost before it starts; with --max_hours also which
schedule of epsilon, and which rungs, fit into the time.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

from absl import flags

from bqnn.config import Config
from launch import after_search, cli, config_flag, estimate
from launch.workers import make_executor

_CONFIG = config_flag.define("search")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the search.", required=True
)
_MAX_CANDIDATES = flags.DEFINE_integer(
    "max_candidates",
    None,
    "Stop when this many candidates were trained, over all runs.",
    lower_bound=1,
)
_MAX_HOURS = flags.DEFINE_float(
    "max_hours",
    None,
    "Start no candidate after this many hours; those in training end first. With "
    "--estimate: print the command of a search that ends in this time; the schedule "
    "and rungs chosen are then part of the configuration that it records.",
    lower_bound=0.0,
)
_MAX_FAILURES = flags.DEFINE_integer(
    "max_failures_in_a_row",
    5,
    "Evaluations that may fail one after the other before the search stops.",
    lower_bound=1,
)
_EVALUATIONS = flags.DEFINE_string(
    "evaluations",
    None,
    "Directory of a store of evaluations that searches of this machine share: what one "
    "has trained, the others take from it. Set --config.train.seed too.",
)
_LEARN_FROM = flags.DEFINE_multi_string(
    "learn_from",
    [],
    "Work directory of an earlier search on the same images, whose results the agent "
    "is told before its first batch; may be given several times.",
)
_TRY_FIRST = flags.DEFINE_string(
    "try_first",
    None,
    "File of blocks to ask first, an NSC or a name a line; # begins a comment.",
)
_TENSORBOARD = flags.DEFINE_boolean(
    "tensorboard", False, "Write what happens to WORKDIR/tensorboard as well."
)
_THEN_TRAIN = flags.DEFINE_boolean(
    "then_train",
    False,
    "When the search is complete, go on with the command that its last lines name: "
    "train the best blocks in full, choose one by validation, train it on all training "
    "images, and test it once.",
)
_ESTIMATE = flags.DEFINE_boolean(
    "estimate",
    False,
    "Search nothing, but print how long the search will take, or what is left of it, "
    "and what memory and disk it needs. A few candidates are trained for some steps.",
)

# What a search is, or takes from others, in ways that an estimate does not know.
_UNESTIMATED = (
    "max_candidates",
    "max_failures_in_a_row",
    "evaluations",
    "learn_from",
    "try_first",
    "tensorboard",
    "then_train",
)


def main() -> None:
    """Run the search and print its best blocks."""
    if _ESTIMATE.value:
        cli.refuse(_UNESTIMATED, "with --estimate")
        config = config_flag.config_of(_CONFIG, Config)
        return estimate.run(config, Path(_WORKDIR.value), _MAX_HOURS.value)
    from bqnn import driver
    from bqnn.search.given import read_blocks
    from bqnn.search.master import Limits

    config, workdir = config_flag.config_of(_CONFIG, Config), Path(_WORKDIR.value)
    earlier = driver.Earlier(
        Path(_EVALUATIONS.value) if _EVALUATIONS.value else None,
        tuple(map(Path, _LEARN_FROM.value)),
        read_blocks(Path(_TRY_FIRST.value)) if _TRY_FIRST.value else (),
    )
    interrupted = cli.Interrupt()
    screen = driver.Screen(cli.console(), _TENSORBOARD.value, interrupted)
    # First, since it sets the environment that jax reads when it starts.
    executor = make_executor(config, interrupted)
    limits = Limits(
        _MAX_FAILURES.value, _MAX_CANDIDATES.value, _clock(_MAX_HOURS.value)
    )
    summary = driver.train(config, workdir, executor, limits, screen, earlier)
    after_search.conclude(screen.console, summary, workdir, config)
    if _THEN_TRAIN.value and summary.complete and summary.best:
        after_search.train(summary, workdir, config)


def _clock(hours: float | None) -> Callable[[], bool]:
    """Make what tells whether `hours` have passed since now; never if None."""
    end = math.inf if hours is None else time.monotonic() + 3600 * hours
    return lambda: time.monotonic() >= end


if __name__ == "__main__":
    cli.run(main)

"""Search for a block, or go on with a search: one work directory, one command.

  python -m launch.search --config=quickstart --workdir=runs/first

Any field of the configuration can be set: --config.agent.alpha=0.05. Run the same
command again to go on after Ctrl-C, a crash or a kill; nothing evaluated is lost.

With --evaluations=DIR --config.train.seed=0, searches share what they have trained.
--learn_from=WORKDIR tells the agent the results of an earlier search, and
--try_first=FILE asks the blocks of a file first. Both are copied into the journal.
"""

import dataclasses
import math
import shlex
import time
from collections.abc import Callable
from pathlib import Path

from absl import flags
from rich.console import Console

from bqnn.config import Config, DataConfig
from bqnn.report.block_tables import best_blocks, outcomes
from bqnn.report.progress import reward_line
from bqnn.search.summary import Summary, recorded
from launch import cli, config_flag
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
    "Start no candidate after this many hours; those in training end first.",
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


def main() -> None:
    """Run the search and print its best blocks."""
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
    _conclude(screen.console, summary, workdir, config)


def _clock(hours: float | None) -> Callable[[], bool]:
    """Make what tells whether `hours` have passed since now; never if None."""
    end = math.inf if hours is None else time.monotonic() + 3600 * hours
    return lambda: time.monotonic() >= end


def _conclude(
    console: Console, summary: Summary, workdir: Path, config: Config
) -> None:
    if summary.complete:
        state = "is complete" if summary.fresh else "was complete already"
        stopped = f"{summary.stopped} stopped at a rung, " if summary.stopped else ""
        console.print(
            f"the search {state}: {summary.iterations} iterations, {summary.done} "
            f"candidates ({summary.reused} reused, {stopped}{summary.failed} failed), "
            f"digest {summary.digest[:16]}",
            soft_wrap=True,
        )
    else:
        console.print(
            f"stopped at its limit: {recorded(summary)} with a larger "
            "--max_candidates or --max_hours to go on",
            soft_wrap=True,
        )
    if summary.fit:
        console.print(reward_line(summary.fit), soft_wrap=True)
    if summary.failures or summary.retries:
        console.print(outcomes(summary))
    console.print(best_blocks(summary.best))
    if summary.best:
        console.print(f"look at the best: {_show(summary)}", soft_wrap=True)
    if summary.best:
        choosing = _train(len(summary.best), config.data, workdir)
        console.print(
            f"train the best in full, choose one, and test it: {choosing}",
            soft_wrap=True,
        )
    console.print(
        f"check the whole search: {cli.command('replay')} --workdir={workdir}",
        soft_wrap=True,
    )


def _show(summary: Summary) -> str:
    block = summary.best[0].candidate.block
    return f"{cli.command('show')} --block='{block}' --out=block.svg"


def _train(count: int, data: DataConfig, workdir: Path) -> str:
    """Write the command that chooses among `count` blocks, on the same images."""
    recipe = "digits_final" if data.name == "digits" else "cifar_final"
    flags_of_data = {
        name: value
        for name, value in dataclasses.asdict(data).items()
        if name in ("name", "validation") or value != getattr(DataConfig(), name)
    }
    parts = [
        f"--search={workdir}",
        f"--top={count}",
        "--retrain",
        f"--workdir={workdir}_final",
        f"--config={recipe}",
        *(f"--config.data.{name}={value}" for name, value in flags_of_data.items()),
    ]
    return f"{cli.command('train')} {shlex.join(parts)}"


if __name__ == "__main__":
    cli.run(main)

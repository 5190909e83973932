"""Search for a block, or go on with a search: one work directory, one command.

  python -m launch.search --config=launch/configs/quickstart.py --workdir=runs/first

Any field of the configuration can be set: --config.agent.alpha=0.05. Run the same
command again to go on after Ctrl-C, a crash or a kill; nothing evaluated is lost.
"""

from pathlib import Path

from absl import flags
from ml_collections import config_flags
from rich.console import Console

from bqnn import journal, runtime
from bqnn.config import Config
from bqnn.data import Dataset, load
from bqnn.executors import EXECUTORS, Executor
from bqnn.problem import make_problem
from bqnn.report.progress import make_display, track_warm_up
from bqnn.report.summary import Summary
from bqnn.report.tables import best_blocks
from bqnn.search import Limits, search
from bqnn.warmup import warm_up
from launch import cli

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Configuration file of the search."
)
flags.mark_flag_as_required("config")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the search.", required=True
)
_EXECUTOR = flags.DEFINE_enum(
    "executor", "inline", ["inline"], "Where candidates are evaluated."
)
_PROGRAM_CACHE = flags.DEFINE_string(
    "program_cache",
    runtime.default_cache_dir(),
    "Directory where compiled programs are kept for the next run; empty for none.",
)
_MAX_FAILURES = flags.DEFINE_integer(
    "max_failures_in_a_row",
    5,
    "Evaluations that may fail one after the other before the search stops.",
    lower_bound=1,
)


def main() -> None:
    """Run the search and print its best blocks."""
    config, workdir = cli.config_of(_CONFIG), Path(_WORKDIR.value)
    console = cli.console()
    interrupted = cli.Interrupt()
    # First of all, since it settles what jax must know before it starts.
    cache_dir = _PROGRAM_CACHE.value or None
    executor = EXECUTORS[_EXECUTOR.value](config, interrupted, cache_dir)
    try:
        summary = _search(config, workdir, console, executor, interrupted)
    finally:
        executor.close()
    _conclude(console, summary, workdir)


def _search(
    config: Config,
    workdir: Path,
    console: Console,
    executor: Executor,
    interrupted: cli.Interrupt,
) -> Summary:
    dataset = load(config.data)
    run = journal.Run(config, dataset.spec, dataset.fingerprint(), runtime.versions())
    with journal.create_or_open(workdir) as facts:
        facts.start(run)
        work = make_problem(config, dataset.spec)
        if facts.told() < work.iterations:
            _warm_up(console, config, dataset, interrupted)
        display = make_display(console, work.iterations, config.search.batch)
        try:
            with display:
                limits = Limits(_MAX_FAILURES.value)
                for event in search(work, facts, executor, limits):
                    display.show(event)
                    if interrupted():
                        raise KeyboardInterrupt
        except KeyboardInterrupt:
            done, total = display.summary.done, display.summary.total
            console.print(
                f"interrupted: {done} of {total} candidates are recorded; "
                "run the same command to go on"
            )
            raise
    return display.summary


def _warm_up(
    console: Console, config: Config, dataset: Dataset, interrupted: cli.Interrupt
) -> None:
    for _ in track_warm_up(console, warm_up(config, dataset)):
        if interrupted():
            raise KeyboardInterrupt


def _conclude(console: Console, summary: Summary, workdir: Path) -> None:
    state = "was complete already" if not summary.fresh else "is complete"
    console.print(
        f"the search {state}: {summary.iterations} iterations, {summary.done} "
        f"candidates ({summary.reused} reused, {summary.failed} failed), "
        f"digest {summary.digest[:16]}",
        soft_wrap=True,
    )
    console.print(best_blocks(summary.best))
    if summary.best:
        console.print(f"look at the best: {_show(summary)}", soft_wrap=True)
    console.print(
        f"check the whole search: {cli.python()} -m launch.replay --workdir={workdir}",
        soft_wrap=True,
    )


def _show(summary: Summary) -> str:
    block = summary.best[0].candidate.block
    return f"{cli.python()} -m launch.show --block='{block}' --out=block.svg"


if __name__ == "__main__":
    cli.run(main)

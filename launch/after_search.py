"""After a search: what it came to, and how to go on from there."""

import os
import shlex
import sys
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from bqnn.config import Config
from bqnn.report.block_tables import (
    NetworkSetting,
    best_blocks,
    front_blocks,
    front_line,
    outcomes,
)
from bqnn.report.next_command import training_flags
from bqnn.report.progress import reward_line
from bqnn.search import journal
from bqnn.search.costs import COSTS
from bqnn.search.summary import Summary, recorded
from launch import cli, workers


def conclude(console: Console, summary: Summary, workdir: Path, config: Config) -> None:
    """Print what a search came to, and the commands that go on from there."""
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
    if config.agent.goal == "front" and summary.best:
        _conclude_front(console, workdir, config)
    else:
        with journal.open_readonly(workdir) as facts:
            setting = NetworkSetting(config.network, facts.run().images)
        console.print(best_blocks(summary.best, setting=setting))
    if summary.best and config.agent.goal == "reward":
        console.print(f"look at the best: {_show(summary)}", soft_wrap=True)
        found = training_flags(workdir, len(summary.best), config)
        console.print(
            "train the best in full, choose one, and test it: "
            f"{cli.command('train')} {shlex.join(found)}",
            soft_wrap=True,
        )
    console.print(
        f"check the whole search: {cli.command('replay')} --workdir={workdir}",
        soft_wrap=True,
    )


def _conclude_front(console: Console, workdir: Path, config: Config) -> None:
    from bqnn.final import selection

    front = selection.read_front(workdir)
    console.print(front_blocks(front))
    console.print(front_line(front), soft_wrap=True)
    middle = front.found[len(front.found) // 2].candidate
    limits = " ".join(f"--limit={COSTS[name](middle)}" for name in front.costs)
    console.print(
        f"the best within a limit: {cli.command('show')} --search={workdir} {limits}",
        soft_wrap=True,
    )
    found = training_flags(workdir, None, config)
    console.print(
        f"train the front in full: {cli.command('train')} {shlex.join(found)}",
        soft_wrap=True,
    )


def _show(summary: Summary) -> str:
    block = summary.best[0].candidate.block
    return f"{cli.command('show')} --block='{block}' --out=block.svg"


def train(summary: Summary, workdir: Path, config: Config) -> NoReturn:
    """Become the program that trains the best blocks in full.

    A process of its own starts jax as its configuration says. It takes over this one's
    number, so that signals and the exit status are its own.
    """
    top = len(summary.best) if config.agent.goal == "reward" else None
    found = training_flags(workdir, top, config)
    sys.stdout.flush()
    command = [sys.executable, "-m", "launch.train", *found, *workers.given()]
    os.execv(sys.executable, command)

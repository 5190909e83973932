"""Mode `--estimate` of `launch.search`: prints what a search will cost."""

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.executors.executor import CandidateWorker
from launch import cli, workers

if TYPE_CHECKING:  # jax, which is slow to import
    from bqnn.forecast.estimate import OnProgress

_UNUSED = "ray_address", "worker_resources"


def run(config: Config, workdir: Path, hours: float | None) -> None:
    """Estimate a search and print what was found.

    Args:
      config: of the search.
      workdir: of the search.
      hours: that it may take; any if None.
    """
    from bqnn.forecast.estimate import estimate
    from bqnn.report.forecast_tables import assumptions, forecast_table

    cli.refuse(_UNUSED, "with --estimate")
    console, interrupted = cli.console(), cli.Interrupt()
    counts = workers.counts(config)
    # First, since it sets the environment that jax reads when it starts.
    executor = workers.make_executor(config, interrupted, _timing_worker, here=True)
    with _progress(console, interrupted) as on_progress:
        found = estimate(config, workdir, counts, executor, hours, on_progress)
        _, forecast = next(found)
        console.print(forecast_table(forecast, config, "the search"))
        console.print(*assumptions(forecast), sep="\n", soft_wrap=True)
        for fitting, forecast in found:
            if fitting == config:
                console.print(f"it should end within {hours:g} hours as it is")
                break
            which = f"a search within {hours:g} hours"
            console.print(forecast_table(forecast, fitting, which))
            command = fitting_command(config, fitting, sys.argv[1:])
            console.print(f"to run it: {command}", soft_wrap=True)


def _timing_worker(config: Config, dataset: Dataset) -> CandidateWorker:
    from bqnn.forecast.trials import TrialWorker  # imports jax

    return TrialWorker(config, dataset)


def fitting_command(config: Config, fitting: Config, arguments: Sequence[str]) -> str:
    """Write the command of a search that was fitted into a time.

    Args:
      config: of the search as `arguments` have it.
      fitting: the same with another schedule, and perhaps other rungs.
      arguments: of this program.
    """
    fields = {"config.agent.schedule": fitting.agent.schedule}
    if fitting.train.rungs != config.train.rungs:
        fields["config.train.rungs"] = str(fitting.train.rungs).replace(" ", "")
    # `cli.command` has the layers.
    kept = _without({"estimate", "max_hours", "layers", *fields}, arguments)
    given = [f"--{name}={value}" for name, value in fields.items()]
    return " ".join([cli.command("search"), *map(shlex.quote, [*kept, *given])])


def _without(names: set[str], arguments: Sequence[str]) -> Iterator[str]:
    """Leave flags out, with their values."""
    left = iter(arguments)
    for argument in left:
        name, equals, _ = argument.lstrip("-").partition("=")
        if not argument.startswith("-") or name not in names:
            yield argument
        elif not equals and name != "estimate":
            next(left, None)  # its value


@contextlib.contextmanager
def _progress(console: Console, interrupted: cli.Interrupt) -> "Iterator[OnProgress]":
    """Show how far an estimate is, a bar for each of its parts."""
    with Progress(
        console=console, transient=True, disable=not console.is_terminal
    ) as shown:
        tasks = {}

        def on_progress(what: str, done: int, total: int) -> None:
            if interrupted():
                raise KeyboardInterrupt
            if what not in tasks:
                tasks[what] = shown.add_task(what)
            shown.update(tasks[what], completed=done, total=total)

        yield on_progress

"""Compare agents: the same evaluations, budgets and seeds for all.

  python -m launch.compare --agents=q,q_model,local,random --budgets=96,192 \
      --space=nasbench201 --evaluator=table:nasbench201.csv --dataset=cifar100 \
      --seeds=500 --workdir=runs/rivals

  python -m launch.compare --evaluator=nasbench-graph --workdir=runs/graphs
  python -m launch.compare --space=table:FILE --told=COLUMN --workdir=runs/mine

An agent may differ from the configuration: --agents="q, q(shaped=False)". With
--evaluator=train every block is trained, and the table shows validation accuracy.
Prints a table; writes it and the curves as csv, and a figure.

Of --config, a table that is not of NSC blocks takes the agent, search.batch, and, with
--config.reward.kind=learned, reward.full_blocks. On NAS-Bench-201 as csv each search
then looks up so many blocks in full, and rewards by what it learns from them; `trained`
counts them, as evaluations of the same epochs.
"""

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags
from rich.console import Console
from rich.progress import Progress

from bqnn import runtime
from bqnn.compare import contenders
from bqnn.compare.comparison import Entry, SeedsDone, Store, compare
from bqnn.compare.statistics import (
    Course,
    Optimum,
    best_so_far,
    hypervolumes,
    summarize,
)
from bqnn.config import Config, TrainConfig, dictionary
from bqnn.data import load
from bqnn.errors import ConfigError, quote
from bqnn.report.progress import track_start
from launch import cli, config_flag, tables, workers

if TYPE_CHECKING:  # jax, which is slow to import
    from bqnn.compare.evaluators import Evaluator, Front, TrainingEvaluator

_CONFIG = config_flag.define("searches", default="rivals")
_AGENTS = flags.DEFINE_string(
    "agents",
    "q,q_plus,q_model,local,evolution,random",
    "Agents, with fields that differ if any.",
)
_BUDGETS = flags.DEFINE_list("budgets", ["96", "192"], "Evaluations of a search.")
_SEEDS = flags.DEFINE_integer("seeds", 500, "Searches of an agent.", lower_bound=1)
_TARGET = flags.DEFINE_float(
    "target", None, "Reward to reach; of a table, its best thousandth if not given."
)
_X = flags.DEFINE_enum(
    "x",
    "evaluations",
    ["evaluations", "trained", "seconds"],  # X_AXES of bqnn.report.compared
    "What the figure draws against: blocks asked, different blocks trained, or seconds "
    "of training.",
)
_FRONT = flags.DEFINE_bool(
    "front",
    False,
    "Compare what agents find within every limit on the cost: the hypervolume of the "
    "front. Agents that search for it have goal='front': --agents=\"random, "
    "q_model(goal='front')\".",
)
_EVALUATIONS = flags.DEFINE_string(
    "evaluations",
    None,
    "With --evaluator=train, directory of a store of evaluations that searches share. "
    "Set --config.train.seed too: then a block is trained once for all seeds.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the comparison.", required=True
)


def main() -> None:
    """Compare, print the table and write all."""
    config, console = config_flag.config_of(_CONFIG, Config), cli.console()
    agents = contenders.parse(_AGENTS.value, config)
    budgets = _budgets(_BUDGETS.value)
    table = tables.chosen(config)
    with _evaluator(config, table, console) as (evaluator, facts):
        if _X.value == "seconds" and not evaluator.timed:
            what = (
                "searches that share trainings have"
                if table is None
                else "this table has"
            )
            raise ConfigError(f"--x=seconds: {what} no seconds")
        store = Store(Path(_WORKDIR.value) / "searches", facts)
        done = compare(agents, budgets, _SEEDS.value, evaluator, store)
        total = len(agents) * len(budgets) * _SEEDS.value
        entries = _follow(done, console, total)
    _report(entries, table, evaluator, console)


@contextlib.contextmanager
def _evaluator(
    config: Config, table: tables.Table | None, console: Console
) -> Iterator[tuple["Evaluator", str]]:
    """Make the evaluator, and a text of all that its results depend on."""
    facts: list[object] = [tables.SPACE.value, dictionary.to_dict(config)]
    if table is None:
        with _started(config, console) as evaluator:
            shared = ["evaluations"] if _EVALUATIONS.value else []
            yield evaluator, json.dumps(facts + shared)
        return
    from bqnn.compare.evaluators import TableEvaluator

    workers.refuse(table.why)
    cli.refuse(("evaluations",), table.why)
    for name in ("rungs", "repeats"):
        if getattr(config.train, name) != getattr(TrainConfig, name):
            raise ConfigError(f"train.{name} has no effect {table.why}: leave it out")
    runtime.configure_process(config.train.threads, workers.cache_dir())
    benchmark = table.read()
    arrays = benchmark.space.num_actions, *benchmark[1:4]
    facts += [array.tolist() for array in arrays]
    learned = config.reward.kind == "learned"
    full_blocks = config.reward.full_blocks if learned else 0
    if _FRONT.value:
        benchmark.told("front")
    yield TableEvaluator(benchmark, full_blocks), json.dumps(facts)


@contextlib.contextmanager
def _started(config: Config, console: Console) -> Iterator["TrainingEvaluator"]:
    """Start workers; stop them at the end, whatever happens."""
    from bqnn.compare.evaluators import TrainingEvaluator

    interrupted = cli.Interrupt()
    executor = workers.make_executor(config, interrupted)
    try:
        dataset, folder = load(config.data), Path(_WORKDIR.value) / "journals"
        for _ in track_start(console, executor.start(dataset)):
            pass
        store = Path(_EVALUATIONS.value) if _EVALUATIONS.value else None
        yield TrainingEvaluator(config, dataset, executor, folder, interrupted, store)
    finally:
        executor.close()


def _follow(
    events: Iterator[SeedsDone | Entry], console: Console, total: int
) -> list[Entry]:
    """Collect entries, with a progress bar."""
    entries: list[Entry] = []
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("searching", total=total)
        for event in events:
            done = len(entries) * _SEEDS.value
            if isinstance(event, Entry):
                entries.append(event)
                done += _SEEDS.value
            else:
                done += event.done
            bar.update(task, completed=done)
    return entries


def _report(
    entries: list[Entry],
    table: tables.Table | None,
    evaluator: "Evaluator",
    console: Console,
) -> None:
    from bqnn.report import compared

    workdir, optimum = Path(_WORKDIR.value), evaluator.optimum
    name, what = table[:2] if table else ("NSC, train", "validation accuracy")
    course: Course = best_so_far
    heading = f"{what} of the best so far"
    if _FRONT.value:
        front = evaluator.front or _measured(entries)
        course = hypervolumes(front.low, front.high)
        optimum = Optimum(None, front.hypervolume, None) if evaluator.front else None
        what = heading = f"mean {what} over limits"
    given = _TARGET.value
    target = given if given is not None or optimum is None else optimum.target
    rows = [
        summarize(e.contender.label, e.budget, e.searches, optimum, target, course)
        for e in entries
    ]
    goal = "" if target is None else f"; target: reward {target:.4f}"
    title = f"{name}, {_SEEDS.value} seeds"
    console.print(compared.summaries(rows, title + goal, what))
    if evaluator.full_cost is not None:
        console.print(
            "trained: a training in full, to learn the reward, counts as "
            f"{evaluator.full_cost:.1f} evaluations"
        )
    compared.save_summaries(rows, workdir / "summary.csv")
    compared.save_curves(entries, workdir / "curves.csv", course)
    figure = workdir / "compare.png"
    compared.save_figure(entries, _X.value, heading, title, figure, course)
    console.print(f"written: {workdir}/summary.csv, curves.csv, compare.png")


def _measured(entries: Sequence[Entry]) -> "Front":
    """Take the limits from what was measured, where all costs are not known."""
    from bqnn.compare.evaluators import Front

    costs = [entry.searches.log_costs for entry in entries]
    low, high = min(map(np.min, costs)), max(map(np.max, costs))
    return Front(float(low), float(high), math.nan)


def _budgets(values: Sequence[str]) -> list[int]:
    if not values or not all(value.isdecimal() and int(value) for value in values):
        raise ConfigError(
            f"--budgets={quote(','.join(values))}: want numbers of evaluations, as in "
            "96,192"
        )
    return [int(value) for value in values]


if __name__ == "__main__":
    cli.run(main)

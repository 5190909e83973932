"""A whole choice: blocks are trained in full, and the best is trained on all images."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from bqnn import runtime
from bqnn.config import Config
from bqnn.data import load
from bqnn.errors import SearchError
from bqnn.evaluation.records import Candidate
from bqnn.executors.executor import Executor, MakeWorker
from bqnn.final import selection
from bqnn.final.config import FinalConfig
from bqnn.final.contest import (
    Contest,
    Ended,
    Standing,
    contest_tasks,
    make_contest,
    standings,
    to_json,
    train_contest,
    training_folder,
)
from bqnn.final.measure import measure_latency
from bqnn.final.rivals import Rivals, draw_rivals
from bqnn.final.task import Tasks
from bqnn.final.winner import retrain, winner_tasks
from bqnn.final.workdir import load_model, write_json
from bqnn.final.worker import final_workers
from bqnn.report.contest import contest_table, ended_line, save_figure
from bqnn.report.final_tables import final_ranking, trained_line
from bqnn.report.progress import track_start
from bqnn.search import journal
from bqnn.search.events import Evaluated

_MATCHED = {"params": "parameters", "flops": "FLOPs"}
_NO_WINNER = "no block could be trained: there is no winner"

Start = Callable[[Config, MakeWorker], Executor]
"""(configuration of an executor, its workers) -> the executor, not started yet."""


class Choice(NamedTuple):
    """What is chosen among.

    Attributes:
      config: configuration of the trainings; it holds out a validation part.
      search: work directory of the search.
      found: its blocks that take part, in the order of their ranks.
      workdir: directory of the trainings.
      retrain: whether the winner is then trained on all training images and tested.
    """

    config: FinalConfig
    search: Path
    found: tuple[Evaluated, ...]
    workdir: Path
    retrain: bool


class Terms(NamedTuple):
    """Terms of a contest with rivals.

    Attributes:
      rivals: who else takes part.
      match: the cost that is made equal: `params`, `flops` or `none`.
      seeds: how many trainings each has.
    """

    rivals: Rivals
    match: str
    seeds: int


class Winner(NamedTuple):
    """The block that was chosen.

    Attributes:
      name: its name in the tables.
      number: among those that took part, from 0.
      candidate: the block.
      accuracy: on the validation part, the mean over seeds; None if all failed.
    """

    name: str
    number: int
    candidate: Candidate
    accuracy: float | None


def select(choice: Choice, start: Start, console: Console) -> Winner:
    """Train blocks of a search, and choose by validation accuracy.

    Args:
      choice: what is chosen among.
      start: makes the executor.
      console: where results are shown.

    Raises:
      KeyboardInterrupt: if interrupted; the same call goes on.
      BqnnError: if something cannot be done.
    """
    best, workdir = choice.found, choice.workdir
    tasks = selection.rank_tasks(best, choice.config, workdir)
    configs = [choice.config] * len(best)
    with _workers(choice, tasks, configs, start, console) as executor:
        winner = _best_ranked(best, workdir, executor, console)
        if choice.retrain:
            _retrain(winner, workdir, executor, console)
    return winner


def compete(choice: Choice, terms: Terms, start: Start, console: Console) -> Winner:
    """Train blocks of a search and rivals, and choose as `select` does.

    Args:
      choice: the search and its blocks.
      terms: who else takes part, and how they are made equal.
      start: makes the executor.
      console: where results are shown.

    Raises:
      KeyboardInterrupt: if interrupted; the same call goes on.
      BqnnError: if something cannot be done.
    """
    contest = _contest(choice, terms)
    tasks = contest_tasks(contest, choice.workdir)
    configs = [one.config for one in contest.contestants]
    with _workers(choice, tasks, configs, start, console) as executor:
        total, ended = len(tasks), list[Ended]()
        for result in train_contest(contest, executor):
            ended.append(result)
            console.print(ended_line(result, len(ended), total), soft_wrap=True)
        ranked = standings(contest, ended)
        # The workers train nothing meanwhile.
        _report(ranked, contest, terms.match, choice.workdir, console)
        best, mean = ranked[0].contestant, ranked[0].mean
        if mean is None:
            raise SearchError(_NO_WINNER)
        number, accuracy = contest.contestants.index(best), float(mean.value)
        winner = Winner(best.name, number, best.candidate, accuracy)
        if choice.retrain:
            _retrain(winner, choice.workdir, executor, console)
    return winner


@contextlib.contextmanager
def _workers(
    choice: Choice,
    tasks: Tasks,
    configs: list[FinalConfig],
    start: Start,
    console: Console,
) -> Iterator[Executor]:
    """Start workers for all tasks and the winner's; stop them in the end."""
    shared = selection.worker_config(choice.config)
    whole = {**tasks, **winner_tasks(choice.workdir, configs)}
    executor = start(shared, final_workers(whole))
    try:
        for _ in track_start(console, executor.start(load(shared.data))):
            pass
        yield executor
    finally:
        executor.close()


def _best_ranked(
    best: tuple[Evaluated, ...], workdir: Path, executor: Executor, console: Console
) -> Winner:
    """Train blocks of a search, and print and write their ranking."""
    trained: list[selection.Trained] = []
    for result in selection.train_all(best, executor):
        trained.append(result)
        console.print(trained_line(result, len(trained), len(best)))
    first, *_ = ranked = selection.by_accuracy(trained)
    console.print(final_ranking(ranked, selection.correlations(trained)))
    write_json(workdir / "selection.json", selection.to_json(trained))
    name = f"rank {first.rank} of the search"
    return Winner(name, first.rank - 1, first.found.candidate, first.accuracy)


def _contest(choice: Choice, terms: Terms) -> Contest:
    """Read who takes part, and make them equal."""
    config = choice.config
    shared = selection.worker_config(config)
    with journal.open_readonly(choice.search) as facts:
        search = facts.run().config
    found = {f"rank{rank}": e.candidate.block for rank, e in enumerate(choice.found, 1)}
    seed, images = config.train.seed, load(shared.data).spec
    others = draw_rivals(terms.rivals, search, seed, [*found.values()])
    if side := config.data.resolution:
        images = images._replace(height=side, width=side)
    blocks = {**found, **others}
    return make_contest(blocks, config, images, terms.match, terms.seeds)


def _report(
    ranked: list[Standing],
    contest: Contest,
    match: str,
    workdir: Path,
    console: Console,
) -> None:
    """Measure latencies; print, write and draw all results."""
    latencies = {}
    for standing in ranked:
        one = standing.contestant
        for seed in [*standing.accuracies][:1]:
            model = load_model(training_folder(workdir, one, seed))
            latencies[one.name] = measure_latency(model)
    reference, device = contest.contestants[0].name, runtime.device()
    equal = f", at the {_MATCHED[match]} of {reference}" if match in _MATCHED else ""
    seeds = f"mean of {len(contest.seeds)} seeds" if contest.seeds[1:] else "one seed"
    title = f"Validation accuracy, {seeds}{equal}"
    console.print(contest_table(ranked, latencies, title))
    values = {
        "match": match,
        "reference": reference,
        "seeds": list(contest.seeds),
        "device": device,
        "contestants": to_json(ranked, latencies),
    }
    write_json(workdir / "contest.json", values)
    if latencies:
        console.print(f"latency: of one image, on {device}", soft_wrap=True)
        save_figure(ranked, latencies, title, workdir / "contest.png")
        console.print(f"written: {workdir / 'contest.png'}", soft_wrap=True)


def _retrain(
    winner: Winner, workdir: Path, executor: Executor, console: Console
) -> None:
    """Train the winner on all training images, and read the test split once."""
    name, number, candidate, validation = winner
    if validation is None:
        raise SearchError(_NO_WINNER)
    console.print(
        f"the winner, {name} (validation {validation:.2%}), is trained on all training "
        "images"
    )
    result = retrain(number, candidate, executor, workdir)
    accuracy, loss = result["test"]["accuracy"], result["test"]["loss"]
    console.print(
        f"trained {result['epochs']} epochs in {result['seconds']:.0f} s; on the test "
        f"split, read once: accuracy {accuracy:.2%}, loss {loss:.4f}",
        soft_wrap=True,
    )

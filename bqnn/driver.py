"""Driver: runs a whole search, with progress, journal and resume.

`launch.search` and `bqnn.run` are this module with and without flags.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from bqnn import runtime
from bqnn.config import Config, RewardConfig
from bqnn.data import load
from bqnn.engines.progress import WarmUpProgress
from bqnn.errors import ConfigError
from bqnn.executors.executor import Executor, Options
from bqnn.executors.objective import Objective, ObjectiveExecutor, objective_name
from bqnn.executors.observed import ObservedExecutor
from bqnn.executors.registry import make_executor
from bqnn.networks.plan import ImageSpec
from bqnn.report.board import Board
from bqnn.report.foreign import PlainConsole
from bqnn.report.progress import Display, track_start
from bqnn.search import journal
from bqnn.search.evaluation_store import open_store
from bqnn.search.given import give
from bqnn.search.history import Run
from bqnn.search.master import Limits, search
from bqnn.search.problem import Problem, check_latencies, check_table, make_problem
from bqnn.search.summary import Summary, recorded
from bqnn.space.known import as_block
from bqnn.space.nsc import Block

_OPTIONS, _LIMITS = Options(), Limits()
_IMAGES = ImageSpec(32, 32, 3, 10)


class Earlier(NamedTuple):
    """What a search takes from earlier ones.

    Attributes:
      evaluations: directory of a store that searches share, None for none.
      learn_from: work directories of searches whose results the agent is told first.
      try_first: blocks to ask first.
    """

    evaluations: Path | None = None
    learn_from: tuple[Path, ...] = ()
    try_first: tuple[Block, ...] = ()


_NOTHING = Earlier()


class Screen(NamedTuple):
    """How a search shows itself and is interrupted.

    Attributes:
      console: progress is printed to it.
      tensorboard: whether events are written to WORKDIR/tensorboard as well.
      interrupted: tells whether the user asked to stop.
    """

    console: Console
    tensorboard: bool = False
    interrupted: Callable[[], bool] = lambda: False


def run(
    config: Config,
    workdir: Path | str,
    objective: Objective | None = None,
    *,
    executor: str = "process",
    options: Options = _OPTIONS,
    limits: Limits = _LIMITS,
    images: ImageSpec = _IMAGES,
    evaluations: Path | str | None = None,
    learn_from: Sequence[Path | str] = (),
    try_first: Sequence[Block | str] = (),
) -> Summary:
    """Search for a block, or go on with the search of a work directory.

    >>> found = bqnn.run(config, "runs/mine", objective=my_objective)
    >>> found.best[0].candidate.block

    Without an objective, blocks are trained on `config.data`, as `launch.search` does.
    With one, they are given to it, in this process; the agent is told what it returns:
    of `config.reward`, only cost and target count.

    Args:
      config: of the search.
      workdir: directory of its journal. The same call goes on after an interrupt, and
        returns at once when the search is complete.
      objective: block -> a number from 0 to 1, the higher the better. It is called once
        for blocks that compute the same function. What it raises is recorded, and
        the agent is told 1 / `images.num_classes` for it.
      executor: `process`, `inline` or `ray`: where blocks are trained.
      options: of the executor.
      limits: when to stop before the end.
      images: that the networks of an objective's blocks would be for: FLOPs and
        parameters in the journal follow from it.
      evaluations: directory of a store that searches share: what one has trained, the
        others do not train again (`bqnn.search.evaluation_store`).
      learn_from: work directories of searches whose results the agent is told before
        its first batch. They are copied into the journal; give the same to go on.
      try_first: blocks, their NSC or names, to ask first; the same to go on.

    Returns:
      The search in numbers: its best blocks, counts of statuses, the digest.

    Raises:
      ConfigError: if `executor` is none of these, the objective no function, or a
        store, rungs or repeats given with one.
      DataError: if the data set cannot be read.
      JournalError: if the directory holds the journal of another search, the store is
        damaged, or there is nothing to learn from.
      NscError: if a text is no block.
      SearchError: if too many evaluations fail in a row.
    """
    workdir, screen = Path(workdir), Screen(PlainConsole(), False, options.interrupted)
    earlier = Earlier(
        None if evaluations is None else Path(evaluations),
        tuple(map(Path, learn_from)),
        tuple(map(as_block, try_first)),
    )
    if objective is None:
        training = make_executor(executor, config, options)
        return train(config, workdir, training, limits, screen, earlier)
    if evaluations is not None:
        raise ConfigError("evaluations keeps trainings: leave it out with an objective")
    if config.train.rungs or config.train.repeats > 1:
        raise ConfigError(
            "an objective gives one number: leave train.rungs empty, and "
            "train.repeats at 1"
        )
    config = dataclasses.replace(config, reward=_unweighted(config.reward))
    facts = Run(config, images, objective_name(objective), runtime.versions())
    calling = ObjectiveExecutor(config, objective, options.interrupted)
    return _search(facts, workdir, calling, iter(()), limits, screen, earlier)


def train(
    config: Config,
    workdir: Path,
    executor: Executor,
    limits: Limits,
    screen: Screen,
    earlier: Earlier = _NOTHING,
) -> Summary:
    """Search by training blocks on the data of the configuration.

    Args:
      config: of the search.
      workdir: directory of its journal.
      executor: made before jax started; closed at the end.
      limits: when to stop before the end.
      screen: where progress is shown.
      earlier: what it takes from earlier searches.

    Raises:
      KeyboardInterrupt: if interrupted; all that was evaluated is recorded.
      BqnnError: as `run` does.
    """
    observed = ObservedExecutor(executor, workdir)
    try:
        dataset = load(config.data)
        facts = Run(config, dataset.spec, dataset.fingerprint(), runtime.versions())
        preparing = observed.start(dataset)
        return _search(facts, workdir, observed, preparing, limits, screen, earlier)
    finally:
        observed.close()


def _unweighted(reward: RewardConfig) -> RewardConfig:
    """Keep the target of a reward, and no term."""
    return RewardConfig(
        mu=0.0,
        rho=0.0,
        cost=reward.cost,
        target=reward.target,
        below=reward.below,
        above=reward.above,
    )


def _beginning(problem: Problem, earlier: Earlier) -> str:
    parts = []
    if problem.learnt:
        names = ", ".join(map(str, earlier.learn_from))
        parts.append(f"{problem.learnt} results of {names}")
    if problem.first:
        parts.append(f"{len(problem.first)} given blocks")
    return " and ".join(parts)


def _first_ask(problem: Problem) -> None:
    """Have the agent compiled, while workers start; the batch is asked again later."""
    problem.agent.ask(problem.agent.init(), 0)


def _search(
    facts: Run,
    workdir: Path,
    executor: Executor,
    preparing: Iterator[WarmUpProgress],
    limits: Limits,
    screen: Screen,
    earlier: Earlier,
) -> Summary:
    """Search from where the journal ends, showing every event."""
    console = screen.console
    with (
        journal.create_or_open(workdir) as opened,
        open_store(earlier.evaluations, facts, workdir) as store,
    ):
        problem = make_problem(facts.config, facts.images)
        if not opened.began():
            check_table(problem)
        opened.start(facts)
        problem = give(opened, problem, earlier.learn_from, earlier.try_first)
        if earlier.learn_from or earlier.try_first:
            console.print(f"begins with {_beginning(problem, earlier)}", soft_wrap=True)
        display = Display(console, problem.iterations, facts.config.search.batch)
        try:
            # The journal is read first: a damaged one is reported before workers start.
            history = opened.history()
            if len(history.tells) < problem.iterations:
                asked = (c for ask in history.asks for c in ask.candidates)
                check_latencies(problem, asked)
                with ThreadPoolExecutor(1, "agent") as pool:
                    asking = pool.submit(_first_ask, problem)
                    for _ in track_start(console, preparing):
                        pass
                    asking.result()
            board = None
            if screen.tensorboard:
                board = Board(workdir / "tensorboard", display.summary)
            with display, board or contextlib.nullcontext():
                for event in search(problem, opened, executor, limits, store):
                    display.show(event)
                    if board:
                        board.show(event)
                    if screen.interrupted():
                        raise KeyboardInterrupt
        except KeyboardInterrupt:
            console.print(f"interrupted: {recorded(display.summary)} to go on")
            raise
    return display.summary

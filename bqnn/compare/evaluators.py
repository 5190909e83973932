"""Evaluators of a comparison: a tabular benchmark, or training."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import jax
import numpy as np
from numpy.typing import NDArray

from bqnn import numerics, runtime
from bqnn.agents.agent import host
from bqnn.compare.contenders import Contender
from bqnn.compare.learned import Round, make_rounds
from bqnn.compare.many_seeds import for_budget, search_seeds
from bqnn.compare.statistics import (
    Optimum,
    Searches,
    added,
    count_searches,
)
from bqnn.compare.tabular import Float32, TabularBenchmark
from bqnn.config import AgentConfig, Config, schedule
from bqnn.data import Dataset
from bqnn.errors import ConfigError
from bqnn.evaluation.records import Evaluation, Status
from bqnn.executors.executor import Executor
from bqnn.search import journal, settled
from bqnn.search.costs import log_cost
from bqnn.search.evaluation_store import open_store
from bqnn.search.front import hypervolume
from bqnn.search.history import History, Run
from bqnn.search.master import search
from bqnn.search.problem import Problem, make_problem
from bqnn.search.reward import last_accuracy
from bqnn.space.actions import Int32

_PART = 1024
"""Blocks whose functions are numbered in one call."""


class Front(NamedTuple):
    """The front of all blocks.

    Attributes:
      low, high: ln of the least and the largest cost.
      hypervolume: of true values.
    """

    low: float
    high: float
    hypervolume: float


class Evaluator(Protocol):
    """Runs the searches of an agent.

    Attributes:
      optimum: the best results there are, if they are known.
      timed: whether it knows how long a training takes.
      front: hypervolume of the best front there is, and ln of the least and the largest
        cost, if they are known.
      full_cost: of a training in full, in evaluations; None if the reward is not learnt
        from such.
    """

    optimum: Optimum | None
    front: Front | None
    timed: bool
    full_cost: float | None

    def run(self, contender: Contender, budget: int, seeds: int) -> Iterator[Searches]:
        """Search with seeds 0, 1, ... within a budget.

        Args:
          contender: the agent.
          budget: evaluations of a search.
          seeds: how many searches.

        Yields:
          The searches of the next seeds, as many at a time as suits the evaluator.
        """


class TableEvaluator:
    """Looks every evaluation up in a tabular benchmark."""

    def __init__(self, benchmark: TabularBenchmark, full_blocks: int = 0) -> None:
        """Find the optimum of the benchmark.

        Args:
          benchmark: the table.
          full_blocks: blocks that a search trains in full to learn its reward; 0 for
            the reward of the table.

        Raises:
          ConfigError: if the table does not know what full trainings would give.
        """
        self._benchmark, self._full_blocks = benchmark, full_blocks
        self._full = benchmark.full if full_blocks else None
        if full_blocks and self._full is None:
            raise ConfigError(
                "reward.kind=learned: this table does not know trainings in full: want "
                "--space=nasbench201 --evaluator=table:FILE"
            )
        self.full_cost = self._full and self._full.cost
        self._keys = jax.jit(jax.vmap(benchmark.space.key))
        known = np.isfinite(benchmark.rewards)
        self.front: Front | None = None
        if benchmark.log_costs is not None:
            costs = benchmark.log_costs[known]
            low, high = float(costs.min()), float(costs.max())
            area = hypervolume(benchmark.true_values[known], costs, low, high)
            self.front = Front(low, high, area)
        self.timed = not np.isnan(benchmark.seconds[known]).any()
        best = float(benchmark.true_values[known].max())
        target = np.quantile(benchmark.rewards[known], 0.999, method="higher")
        # What is foretold differs from search to search.
        self.optimum: Optimum | None = (
            Optimum(None, best, None)
            if self._full
            else Optimum(float(benchmark.rewards.max()), best, float(target))
        )

    def run(self, contender: Contender, budget: int, seeds: int) -> Iterator[Searches]:
        """Search with many seeds in one program."""
        agent, batch = contender.agent, contender.batch
        agent, table = for_budget(agent, budget, batch), self._benchmark
        rounds = self._rounds(agent)
        ends = [this.after * batch for this in rounds]
        for found in search_seeds(table, agent, batch, seeds, rounds):
            # The last iteration of a search may exceed the budget.
            asked = found.indices[:, :budget]
            searches = count_searches(
                found.rewards[:, :budget],
                table.true_values[asked],
                self._functions(asked),
                table.seconds[asked],
                _at(table.log_costs, asked),
            )
            costs = (self.full_cost or 0.0) * found.in_full
            yield searches._replace(trained=added(searches.trained, ends, costs))

    def _rounds(self, agent: AgentConfig) -> list[Round]:
        """Plan the rounds of a search, if the reward is learnt.

        Raises:
          ConfigError: if a front is wanted too.
        """
        if self._full is None:
            return []
        if agent.goal == "front":
            raise ConfigError(
                "a front with reward.kind=learned: a table has no such searches"
            )
        iterations = schedule.parse(agent.schedule).iterations
        return make_rounds(self._full, self._functions, self._full_blocks, iterations)

    @numerics.pinned()
    def _functions(self, indices: Int32) -> NDArray[np.uint32]:
        """Number what blocks compute, in parts of one size: one program serves all.

        Args:
          indices: of blocks in the table, int32 `[R, N]`.

        Returns:
          The keys of the space, uint32 `[R, N]`.
        """
        unique, where = np.unique(indices, return_inverse=True)
        rows = self._benchmark.actions_of(unique)
        padded = np.pad(rows, ((0, -len(rows) % _PART), (0, 0)), mode="edge")
        parts = jax.device_put([*padded.reshape(-1, _PART, rows.shape[1])], host())
        keys = np.concatenate([np.asarray(self._keys(part)) for part in parts])
        return keys[where].reshape(indices.shape)


class TrainingEvaluator:
    """Trains every block: real searches, each with a journal of its own.

    The true value is the validation accuracy: the test split stays unread.
    """

    optimum: Optimum | None = None
    front: Front | None = None

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        executor: Executor,
        workdir: Path,
        interrupted: Callable[[], bool],
        evaluations: Path | None = None,
    ) -> None:
        """Store what all searches share.

        Args:
          config: of the searches, except for the agent, the batch and the seed.
          dataset: that blocks learn from.
          executor: runs the trainings; it was started.
          workdir: of the journals.
          interrupted: tells whether to stop.
          evaluations: directory of a store that searches share, None for none.
        """
        self._config, self._dataset, self._executor = config, dataset, executor
        self._workdir, self._interrupted = workdir, interrupted
        self._evaluations = evaluations
        # What another search has trained took this one no time.
        self.timed = evaluations is None
        full, early = config.reward.full_epochs, config.train.epochs
        self.full_cost = full / early if config.reward.kind == "learned" else None

    def run(self, contender: Contender, budget: int, seeds: int) -> Iterator[Searches]:
        """Search seed by seed, and go on where an earlier run stopped."""
        for seed in range(seeds):
            problem, history = self._search(contender, budget, seed)
            found = list(settled.evaluated(problem, history))[:budget]
            hashes = [event.candidate.hash for event in found]
            _, functions = np.unique(hashes, return_inverse=True)
            seconds = [_seconds(event.evaluation) for event in found]
            cost = self._config.reward.cost
            costs = [log_cost(cost, event.candidate) for event in found]
            searches = count_searches(
                np.array([[event.reward for event in found]]),
                np.array([[last_accuracy(*event[:2]) or 0.0 for event in found]]),
                functions.astype(np.uint32)[None],
                np.array([seconds if self.timed else [math.nan] * len(found)]),
                np.array([costs]),
            )
            again = np.cumsum([_repeats(event.evaluation) for event in found])
            searches = searches._replace(trained=searches.trained + again)
            yield self._with_full(searches, contender.batch, history)

    def _with_full(self, searches: Searches, batch: int, history: History) -> Searches:
        """Count what was trained in full too."""
        full = {candidate.id: e for candidate, e in settled.in_full(history)}
        ends, costs, seconds = [], [], []
        for this in history.rounds:
            ends.append(this.told * batch)
            costs.append((self.full_cost or 0.0) * len(this.candidates))
            seconds.append(sum(_seconds(full[c.id]) for c in this.candidates))
        return searches._replace(
            trained=added(searches.trained, ends, np.array([costs])),
            seconds=added(searches.seconds, ends, np.array([seconds])),
        )

    def _search(
        self, contender: Contender, budget: int, seed: int
    ) -> tuple[Problem, History]:
        config = dataclasses.replace(
            self._config,
            agent=for_budget(contender.agent, budget, contender.batch),
            search=dataclasses.replace(
                self._config.search, batch=contender.batch, seed=seed
            ),
        )
        problem = make_problem(config, self._dataset.spec)
        facts = Run(
            config, problem.images, self._dataset.fingerprint(), runtime.versions()
        )
        workdir = self._workdir / f"{contender.label}-{budget}" / str(seed)
        with (
            journal.create_or_open(workdir) as opened,
            open_store(self._evaluations, facts, workdir) as store,
        ):
            opened.start(facts)
            for _ in search(problem, opened, self._executor, store=store):
                if self._interrupted():
                    raise KeyboardInterrupt
            return problem, opened.history()


def _at(values: Float32 | None, indices: Int32) -> NDArray[np.floating]:
    """Look values up; NaN where a table has none."""
    return np.full(indices.shape, np.nan) if values is None else values[indices]


def _seconds(evaluation: Evaluation) -> float:
    return sum(evaluation.seconds.values())


def _repeats(evaluation: Evaluation) -> int:
    """Count the trainings beside the first; a twin's are not its own."""
    return 0 if evaluation.status == Status.REUSED else len(evaluation.repeats)

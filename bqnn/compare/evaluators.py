"""Evaluators of a comparison: a tabular benchmark, or training."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from bqnn import runtime
from bqnn.compare.contenders import Contender
from bqnn.compare.many_seeds import for_budget, search_seeds
from bqnn.compare.statistics import Optimum, Searches
from bqnn.compare.tabular import TabularBenchmark
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.executors.executor import Executor
from bqnn.search import journal, settled
from bqnn.search.events import Evaluated
from bqnn.search.history import Run
from bqnn.search.master import search
from bqnn.search.problem import make_problem
from bqnn.search.reward import last_accuracy


class Evaluator(Protocol):
    """Runs the searches of an agent.

    Attributes:
      optimum: the best results there are, if they are known.
    """

    optimum: Optimum | None

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

    def __init__(self, benchmark: TabularBenchmark) -> None:
        """Find the optimum of the benchmark."""
        self._benchmark = benchmark
        known = np.isfinite(benchmark.rewards)
        self.optimum: Optimum | None = Optimum(
            float(benchmark.rewards.max()),
            float(benchmark.true_values[known].max()),
            float(np.quantile(benchmark.rewards[known], 0.999, method="higher")),
        )

    def run(self, contender: Contender, budget: int, seeds: int) -> Iterator[Searches]:
        """Search with many seeds in one program."""
        agent = for_budget(contender.agent, budget, contender.batch)
        rewards, true_values = self._benchmark.rewards, self._benchmark.true_values
        for indices in search_seeds(self._benchmark, agent, contender.batch, seeds):
            # The last iteration of a search may exceed the budget.
            asked = indices[:, :budget]
            yield Searches(rewards[asked], true_values[asked])


class TrainingEvaluator:
    """Trains every block: real searches, each with a journal of its own.

    The true value is the validation accuracy: the test split stays unread.
    """

    optimum: Optimum | None = None

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        executor: Executor,
        workdir: Path,
        interrupted: Callable[[], bool],
    ) -> None:
        """Store what all searches share.

        Args:
          config: of the searches, except for the agent, the batch and the seed.
          dataset: that blocks learn from.
          executor: runs the trainings; it was started.
          workdir: of the journals.
          interrupted: tells whether to stop.
        """
        self._config, self._dataset, self._executor = config, dataset, executor
        self._workdir, self._interrupted = workdir, interrupted

    def run(self, contender: Contender, budget: int, seeds: int) -> Iterator[Searches]:
        """Search seed by seed, and go on where an earlier run stopped."""
        for seed in range(seeds):
            found = self._search(contender, budget, seed)
            accuracies = [last_accuracy(event.evaluation) or 0.0 for event in found]
            rewards = [event.reward for event in found]
            yield Searches(np.array([rewards]), np.array([accuracies]))

    def _search(self, contender: Contender, budget: int, seed: int) -> list[Evaluated]:
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
        with journal.create_or_open(workdir) as opened:
            opened.start(facts)
            for _ in search(problem, opened, self._executor):
                if self._interrupted():
                    raise KeyboardInterrupt
            return list(settled.evaluated(problem, opened.history()))[:budget]

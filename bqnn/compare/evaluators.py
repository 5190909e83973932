"""Evaluators of a comparison: a tabular benchmark, or training."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import jax
import numpy as np
from numpy.typing import NDArray

from bqnn import numerics, runtime
from bqnn.agents.agent import host
from bqnn.compare.contenders import Contender
from bqnn.compare.many_seeds import for_budget, search_seeds
from bqnn.compare.statistics import Optimum, Searches, count_searches
from bqnn.compare.tabular import TabularBenchmark
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.executors.executor import Executor
from bqnn.search import journal, settled
from bqnn.search.evaluation_store import open_store
from bqnn.search.events import Evaluated
from bqnn.search.history import Run
from bqnn.search.master import search
from bqnn.search.problem import make_problem
from bqnn.search.reward import last_accuracy
from bqnn.space.actions import Int32

_PART = 1024
"""Blocks whose functions are numbered in one call."""


class Evaluator(Protocol):
    """Runs the searches of an agent.

    Attributes:
      optimum: the best results there are, if they are known.
      timed: whether it knows how long a training takes.
    """

    optimum: Optimum | None
    timed: bool

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
        self._keys = jax.jit(jax.vmap(benchmark.space.key))
        known = np.isfinite(benchmark.rewards)
        self.timed = not np.isnan(benchmark.seconds[known]).any()
        self.optimum: Optimum | None = Optimum(
            float(benchmark.rewards.max()),
            float(benchmark.true_values[known].max()),
            float(np.quantile(benchmark.rewards[known], 0.999, method="higher")),
        )

    def run(self, contender: Contender, budget: int, seeds: int) -> Iterator[Searches]:
        """Search with many seeds in one program."""
        agent = for_budget(contender.agent, budget, contender.batch)
        table = self._benchmark
        for indices in search_seeds(table, agent, contender.batch, seeds):
            # The last iteration of a search may exceed the budget.
            asked = indices[:, :budget]
            yield count_searches(
                table.rewards[asked],
                table.true_values[asked],
                self._functions(asked),
                table.seconds[asked],
            )

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

    def run(self, contender: Contender, budget: int, seeds: int) -> Iterator[Searches]:
        """Search seed by seed, and go on where an earlier run stopped."""
        for seed in range(seeds):
            found = self._search(contender, budget, seed)
            hashes = [event.candidate.hash for event in found]
            _, functions = np.unique(hashes, return_inverse=True)
            evaluations = [event.evaluation for event in found]
            seconds = [sum(e.seconds.values()) for e in evaluations]
            yield count_searches(
                np.array([[event.reward for event in found]]),
                np.array([[last_accuracy(*event[:2]) or 0.0 for event in found]]),
                functions.astype(np.uint32)[None],
                np.array([seconds if self.timed else [math.nan] * len(found)]),
            )

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
        with (
            journal.create_or_open(workdir) as opened,
            open_store(self._evaluations, facts, workdir) as store,
        ):
            opened.start(facts)
            for _ in search(problem, opened, self._executor, store=store):
                if self._interrupted():
                    raise KeyboardInterrupt
            return list(settled.evaluated(problem, opened.history()))[:budget]

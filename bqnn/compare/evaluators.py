"""Where rewards come from: a table of all blocks, or training."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from bqnn import runtime
from bqnn.compare.contenders import Contender
from bqnn.compare.landscape import Landscape
from bqnn.compare.many_seeds import for_budget, searches
from bqnn.compare.statistics import Best, Runs
from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.executors import Executor
from bqnn.search import fold, journal
from bqnn.search.events import Evaluated
from bqnn.search.history import Run
from bqnn.search.master import search
from bqnn.search.problem import make_problem
from bqnn.search.reward import last_accuracy


class Evaluator(Protocol):
    """Lets an agent search.

    Attributes:
      best: what there is to find, if it is known.
    """

    best: Best | None

    def run(self, contender: Contender, budget: int, seeds: int) -> Iterator[Runs]:
        """Search with seeds 0, 1, ... within a budget; yields some seeds at a time."""


class TableEvaluator:
    """Looks every evaluation up."""

    def __init__(self, landscape: Landscape) -> None:
        """Take the landscape over."""
        self._landscape = landscape
        known = np.isfinite(landscape.rewards)
        self.best: Best | None = Best(
            float(landscape.rewards.max()),
            float(landscape.reported[known].max()),
            float(np.quantile(landscape.rewards[known], 0.999, method="higher")),
        )

    def run(self, contender: Contender, budget: int, seeds: int) -> Iterator[Runs]:
        """Search with many seeds in one program."""
        agent = for_budget(contender.agent, budget, contender.batch)
        for places in searches(self._landscape, agent, contender.batch, seeds):
            asked = places[:, :budget]
            yield Runs(self._landscape.rewards[asked], self._landscape.reported[asked])


class TrainingEvaluator:
    """Trains every block: real searches, each with a journal of its own.

    What is reported is the validation accuracy: the test split stays unread.
    """

    best: Best | None = None

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        executor: Executor,
        workdir: Path,
        interrupted: Callable[[], bool],
    ) -> None:
        """Bind what all searches share; the executor was started."""
        self._config, self._dataset, self._executor = config, dataset, executor
        self._workdir, self._interrupted = workdir, interrupted

    def run(self, contender: Contender, budget: int, seeds: int) -> Iterator[Runs]:
        """Search seed by seed, going on where an earlier run stopped."""
        for seed in range(seeds):
            found = self._search(contender, budget, seed)
            accuracies = [last_accuracy(event.evaluation) or 0.0 for event in found]
            rewards = [event.reward for event in found]
            yield Runs(np.array([rewards]), np.array([accuracies]))

    def _search(self, contender: Contender, budget: int, seed: int) -> list[Evaluated]:
        config = dataclasses.replace(
            self._config,
            agent=for_budget(contender.agent, budget, contender.batch),
            search=dataclasses.replace(
                self._config.search, batch=contender.batch, seed=seed
            ),
        )
        work = make_problem(config, self._dataset.spec)
        facts = Run(
            config, work.images, self._dataset.fingerprint(), runtime.versions()
        )
        workdir = self._workdir / f"{contender.label}-{budget}" / str(seed)
        with journal.create_or_open(workdir) as opened:
            opened.start(facts)
            for _ in search(work, opened, self._executor):
                if self._interrupted():
                    raise KeyboardInterrupt
            return list(fold.evaluated(work, opened.history()))[:budget]

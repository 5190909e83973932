"""Objective executor: gives blocks to a function of the user, in this process."""

import time
from collections.abc import Callable, Iterator

from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.engines.progress import WarmUpProgress
from bqnn.errors import ConfigError, quote
from bqnn.evaluation.records import OBJECTIVE, Candidate, Evaluation, Status
from bqnn.executors.activity import Activity
from bqnn.executors.executor import Attempt
from bqnn.executors.guard import run_guarded
from bqnn.space.nsc import Block

Objective = Callable[[Block], float]
"""Block -> a number from 0 to 1, the higher the better."""


def objective_name(objective: Objective) -> str:
    """Name an objective in a journal, as the fingerprint of its search.

    A search refuses to go on with an objective of another name. It cannot tell two
    lambdas of one module apart.

    Raises:
      ConfigError: if it is no function.
    """
    if not callable(objective):
        raise ConfigError(
            f"objective is {quote(objective)}: want a function of a block"
        )
    kind = type(objective)
    module = getattr(objective, "__module__", kind.__module__)
    name = getattr(objective, "__qualname__", kind.__qualname__)
    return f"{OBJECTIVE}{module}.{name}"


class ObjectiveExecutor:
    """Evaluates one block after the other with an objective."""

    shares_memory = False

    def __init__(
        self,
        config: Config,
        objective: Objective,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take the objective.

        Args:
          config: of the search.
          objective: what it raises becomes the status of the candidate.
          interrupted: tells, before every candidate, whether to stop.
        """
        self._config, self._objective = config, objective
        self._interrupted = interrupted
        self._candidate: Candidate | None = None

    def start(self, dataset: Dataset) -> Iterator[WarmUpProgress]:
        """There is nothing to prepare."""
        return iter(())

    def free(self) -> int:
        """Count the candidates that can be taken now: one, or none."""
        return int(self._candidate is None)

    def submit(self, candidate: Candidate) -> None:
        """Take a candidate."""
        self._candidate = candidate

    def collect(self) -> list[Attempt]:
        """Evaluate the candidate.

        Raises:
          LookupError: if there is none.
          KeyboardInterrupt: if interrupted; the candidate is not recorded.
        """
        candidate, self._candidate = self._candidate, None
        if candidate is None:
            raise LookupError("no candidate was submitted")
        evaluation = run_guarded(
            candidate, self._config, self._interrupted, self._evaluate
        )
        return [(candidate, evaluation)]

    def devices(self) -> frozenset[str]:
        """List none: the results of an objective are not for other searches."""
        return frozenset()

    def activities(self) -> list[Activity]:
        """There are no workers."""
        return []

    def close(self) -> None:
        """Forget the candidate."""
        self._candidate = None

    def _evaluate(
        self, candidate: Candidate, config: Config, on_step: Callable[[], None]
    ) -> Evaluation:
        on_step()
        start = time.perf_counter()
        value = float(self._objective(candidate.block))
        seconds = {"objective": time.perf_counter() - start}
        if value != value:  # NaN: as a training that diverged
            return Evaluation(Status.DIVERGED, seconds=seconds, error="it returned NaN")
        if not 0 <= value <= 1:
            raise ValueError(
                f"the objective returned {quote(value)}: want a number from 0 to 1"
            )
        return Evaluation(Status.OK, (value,), seconds=seconds, worker="inline")

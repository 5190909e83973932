"""What evaluates candidates, in whatever process: one at a time, the next prepared."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import jax

from bqnn.config import Config
from bqnn.data import Dataset
from bqnn.evaluation import evaluate
from bqnn.evaluation.evaluate import Prepared
from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.executors.guard import run_guarded


class Worker:
    """Evaluates candidates that learn from one data set.

    While a candidate trains on an accelerator, the host is idle: there the one that
    follows is prepared in a thread meanwhile.
    """

    def __init__(self, config: Config, dataset: Dataset) -> None:
        """Put the data on the device."""
        self._config, self._dataset = config, evaluate.on_device(dataset)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._next: tuple[Candidate, Future[Prepared | Evaluation]] | None = None

    @property
    def pipelined(self) -> bool:
        """Whether the worker wants to know which candidate follows."""
        return bool(jax.default_backend() != "cpu")

    def run(
        self,
        candidate: Candidate,
        following: Candidate | None = None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> Evaluation:
        """Evaluate a candidate; whatever goes wrong is a status.

        Args:
          candidate: what to evaluate.
          following: what will be evaluated next, if that is known.
          interrupted: tells, before every training step, whether to stop.

        Raises:
          KeyboardInterrupt: if interrupted.
        """
        ready = self._take(candidate)
        if following is not None:
            future = self._thread.submit(self._prepare, following)
            self._next = following, future

        def run(
            candidate: Candidate, config: Config, on_step: Callable[[], None]
        ) -> Evaluation:
            return self.evaluate(candidate, config, on_step, ready)

        return run_guarded(candidate, self._config, interrupted, run)

    def evaluate(
        self,
        candidate: Candidate,
        config: Config,
        on_step: Callable[[], None],
        ready: "Future[Prepared | Evaluation] | None",
    ) -> Evaluation:
        """Train a candidate that was, or was not, prepared before."""
        if ready is None:
            prepared, hidden = self._prepare(candidate), 0.0
        else:
            start = time.perf_counter()
            prepared = ready.result()
            waited = time.perf_counter() - start
            hidden = max(0.0, _spent(prepared) - waited)
        if isinstance(prepared, Prepared):
            if hidden:
                prepared.engine.clock.seconds["hidden"] = hidden
            return evaluate.train(prepared, candidate, config, self._dataset, on_step)
        return prepared

    def _take(self, candidate: Candidate) -> "Future[Prepared | Evaluation] | None":
        """Take what was prepared, if it is the candidate; it is dropped if not."""
        foreseen, self._next = self._next, None
        if foreseen is None or foreseen[0].id != candidate.id:
            return None
        return foreseen[1]

    def _prepare(self, candidate: Candidate) -> Prepared | Evaluation:
        return evaluate.prepare(candidate, self._config, self._dataset)


MakeWorker = Callable[[Config, Dataset], Worker]


def _spent(prepared: Prepared | Evaluation) -> float:
    if isinstance(prepared, Prepared):
        return sum(prepared.engine.clock.seconds.values())
    return 0.0

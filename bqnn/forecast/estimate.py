"""Estimate: forecasts a search on this machine, without beginning it."""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from bqnn import runtime
from bqnn.config import Config
from bqnn.data import Dataset, load
from bqnn.errors import ConfigError
from bqnn.evaluation.records import CandidateId
from bqnn.executors.executor import Executor
from bqnn.forecast.fitting import fitted
from bqnn.forecast.forecast import Forecast, Measured, foretell
from bqnn.forecast.simulation import Played, play
from bqnn.forecast.trials import spread, time_all
from bqnn.search import journal
from bqnn.search.history import Run
from bqnn.search.settled import settled_evaluations

OnProgress = Callable[[str, int, int], None]
"""(what is done, how many are done, of how many); may raise to end the estimate."""

# Candidates that are timed at least, and those of them that are timed alone again.
_TRIALS, _ALONE = 8, 3


def estimate(
    config: Config,
    workdir: Path,
    workers: Sequence[int],
    executor: Executor,
    hours: float | None = None,
    on_progress: OnProgress = lambda what, done, total: None,
) -> Iterator[tuple[Config, Forecast]]:
    """Forecast a search; nothing is written but compiled programs to their cache.

    Args:
      config: of the search.
      workdir: of the search, which may have begun; it may not exist.
      workers: numbers of workers to estimate it for, ascending.
      executor: of `trials.TrialWorker`s, made before jax started; closed after them.
      hours: in which the search should end with the largest number of workers.
      on_progress: called often.

    Yields:
      The configuration, and what is left to do; then, if there are hours, the same of
      the search changed as `fitting.fitted` says.

    Raises:
      ConfigError: if all blocks are over the budget, or there are hours and the search
        has begun, or does not fit into them.
      DataError: if the data cannot be read.
      JournalError: if the directory holds another search.
      SearchError: if a candidate cannot be trained.
    """
    # What Python has loaded by now counts.
    began = time.perf_counter() - time.process_time()
    report = functools.partial(on_progress, "simulating searches")

    @functools.cache
    def played(config: Config) -> Played:
        return play(config, dataset.spec, report)

    def forecast(config: Config) -> Forecast:
        return foretell(played(config), measured, workers, done)

    def seconds(config: Config) -> float:
        return forecast(config).by_workers[workers[-1]].expected

    try:
        dataset = load(config.data)
        # The master loads libraries and data, and then its workers do.
        start = 2 * (time.perf_counter() - began)
        done = _done(config, dataset, workdir)
        if done and hours is not None:
            raise ConfigError(
                "the search has begun, so its iterations and rungs are settled: leave "
                "--max_hours out, or use another --workdir"
            )
        measured = _measure(played(config), dataset, executor, start, on_progress)
    finally:
        executor.close()
    yield config, forecast(config)
    if hours is not None:
        fitting = fitted(config, 3600 * hours, seconds)
        yield fitting, forecast(fitting)


def _done(config: Config, dataset: Dataset, workdir: Path) -> frozenset[CandidateId]:
    """List the candidates that an earlier run has evaluated."""
    if not (workdir / journal.FILE_NAME).is_file():
        return frozenset()
    with journal.open_readonly(workdir) as opened:
        if not opened.began():
            return frozenset()
        facts = Run(config, dataset.spec, dataset.fingerprint(), runtime.versions())
        opened.start(facts)  # of a search that began, this only compares
        return frozenset(settled_evaluations(opened.history()))


def _measure(
    played: Played,
    dataset: Dataset,
    executor: Executor,
    start: float,
    on_progress: OnProgress,
) -> Measured:
    """Time candidates beside each other, and a few of them again alone."""
    if not played.trained:
        drawn = len(played.expected) * played.config.search.batch
        raise ConfigError(
            f"all of {drawn} blocks drawn are over the budget: raise budget."
            "max_params, max_flops, max_latency or max_activation_bytes"
        )
    began, folder = time.perf_counter(), jax.config.values["jax_compilation_cache_dir"]
    for state in executor.start(dataset):
        on_progress("compiling layer programs", *state)
    if not folder:  # the search compiles them again
        start += time.perf_counter() - began
    workers = len(executor.activities())
    chosen = spread(played.trained, max(_TRIALS, workers))
    again = spread(chosen, _ALONE) if workers > 1 else []
    trials, total = [], len(chosen) + len(again)
    for batch in (chosen, *([candidate] for candidate in again)):
        for trial in time_all(batch, executor):
            trials.append(trial)
            on_progress("timing candidates", len(trials), total)
    beside, alone = trials[: len(chosen)], trials[len(chosen) :]
    epochs = {candidate.id: found.seconds["epoch"] for candidate, found in beside}
    ratios = [
        epochs[candidate.id] / found.seconds["epoch"] for candidate, found in alone
    ]
    slower = max(1.0, float(np.median(ratios))) if ratios else 1.0
    kept = Path(folder).rglob("*") if folder else ()
    programs = sum(file.stat().st_size for file in kept if file.is_file())
    return Measured(beside, workers, slower, start, programs)

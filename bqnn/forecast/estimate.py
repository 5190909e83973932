"""Estimate: forecasts a search on this machine, without beginning it."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

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
from bqnn.forecast.simulation import SHARES, Played, play
from bqnn.forecast.trials import spread, time_all
from bqnn.search import journal
from bqnn.search.history import Run
from bqnn.search.settled import settled_evaluations

OnProgress = Callable[[str, int, int], None]
"""(what is done, how many are done, of how many); may raise to end the estimate."""

# Candidates that are timed at least, and those of them that are timed alone again.
_TRIALS, _ALONE = 8, 3


class Estimate(NamedTuple):
    """What was found out about a search on this machine.

    Attributes:
      config: of the search.
      dataset: its data.
      done: candidates that an earlier run has evaluated.
      workers: numbers of workers that it was estimated for, ascending.
      measured: what the machine has shown.
      forecast: what the search will cost.
      programs: bytes of the compiled programs on the disk, of all searches.
    """

    config: Config
    dataset: Dataset
    done: frozenset[CandidateId]
    workers: Sequence[int]
    measured: Measured
    forecast: Forecast
    programs: int


def estimate(
    config: Config,
    workdir: Path,
    workers: Sequence[int],
    executor: Executor,
    on_progress: OnProgress = lambda what, done, total: None,
) -> Estimate:
    """Forecast a search; nothing is written but compiled programs to their cache.

    Args:
      config: of the search.
      workdir: of the search, which may have begun; it may not exist.
      workers: numbers of workers to estimate it for, ascending.
      executor: of `trials.TrialWorker`s, made before jax started; closed at the end.
      on_progress: called often.

    Raises:
      ConfigError: if all blocks are over the budget.
      DataError: if the data cannot be read.
      JournalError: if the directory holds another search.
      SearchError: if a candidate cannot be trained.
    """
    # What Python has loaded by now counts.
    began = time.perf_counter() - time.process_time()
    dataset = load(config.data)
    # The master loads libraries and data, and then its workers do.
    start = 2 * (time.perf_counter() - began)
    done = _done(config, dataset, workdir)
    try:
        played = _play(config, dataset, SHARES, on_progress)
        measured = _measure(played, dataset, executor, start, on_progress)
    finally:
        executor.close()
    forecast = foretell(played, measured, workers, done)
    folder = _cache_dir()
    kept = Path(folder).rglob("*") if folder else ()
    programs = sum(file.stat().st_size for file in kept if file.is_file())
    return Estimate(config, dataset, done, workers, measured, forecast, programs)


def fit_into(
    found: Estimate, hours: float, on_progress: OnProgress
) -> tuple[Config, Forecast]:
    """Fit a search into some hours with the largest number of workers.

    Args:
      found: of the search.
      hours: from its start to its end.
      on_progress: called often.

    Returns:
      The configuration, changed as `fitting.fitted` says, and its forecast.

    Raises:
      ConfigError: if the search has begun, or does not fit.
    """
    if found.done:
        raise ConfigError(
            "the search has begun, so its iterations and rungs are settled: leave "
            "--max_hours out, or use another --workdir"
        )

    def forecast(config: Config, shares: Sequence[float]) -> Forecast:
        played = _play(config, found.dataset, shares, on_progress)
        return foretell(played, found.measured, found.workers)

    def seconds(config: Config) -> float:
        return forecast(config, SHARES[:1]).by_workers[found.workers[-1]].expected

    fitting = fitted(found.config, 3600 * hours, seconds)
    return fitting, forecast(fitting, SHARES)


def _play(
    config: Config, dataset: Dataset, shares: Sequence[float], on_progress: OnProgress
) -> Played:
    return play(config, dataset, shares, partial(on_progress, "simulating searches"))


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
    simulation = played.simulations[0]
    if not simulation.trained:
        drawn = len(simulation.batches) * played.config.search.batch
        raise ConfigError(
            f"all of {drawn} blocks drawn are over the budget: raise budget."
            "max_params, max_flops or max_activation_bytes"
        )
    began = time.perf_counter()
    for state in executor.start(dataset):
        on_progress("compiling layer programs", *state)
    if not _cache_dir():  # the search compiles them again
        start += time.perf_counter() - began
    workers = len(executor.activities())
    chosen = spread(simulation.trained, max(_TRIALS, workers))
    again = spread(chosen, _ALONE) if workers > 1 else []
    trials, total = [], len(chosen) + len(again)
    for batch in (chosen, *([candidate] for candidate in again)):
        for trial in time_all(batch, executor):
            trials.append(trial)
            on_progress("timing candidates", len(trials), total)
    beside, alone = trials[: len(chosen)], trials[len(chosen) :]
    epochs = {trial.candidate.id: trial.epoch for trial in beside}
    ratios = [epochs[trial.candidate.id] / trial.epoch for trial in alone]
    slower = max(1.0, float(np.median(ratios))) if ratios else 1.0
    return Measured(tuple(beside), workers, slower, start)


def _cache_dir() -> str | None:
    """Return where compiled programs are kept; None or "" for nowhere."""
    folder: str | None = jax.config.values["jax_compilation_cache_dir"]
    return folder

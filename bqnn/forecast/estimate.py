"""Estimate: forecasts a search on this machine, without beginning it."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax

from bqnn import runtime
from bqnn.config import Config
from bqnn.data import Dataset, load
from bqnn.engines.warmup import warm_up
from bqnn.errors import ConfigError
from bqnn.evaluation.evaluate import on_device
from bqnn.evaluation.records import Candidate, CandidateId
from bqnn.executors.worker_process import resident_memory
from bqnn.forecast.fitting import fitted
from bqnn.forecast.forecast import Forecast, Measured, foretell
from bqnn.forecast.simulation import GUESSES, Played, play
from bqnn.forecast.trials import Trial, run_trial, spread
from bqnn.search import journal
from bqnn.search.history import Run
from bqnn.search.settled import settled_evaluations

OnProgress = Callable[[str, int, int], None]
"""(what is done, how many are done, of how many); may raise to end the estimate."""

# Candidates that are timed.
_TRIALS = 8


class Estimate(NamedTuple):
    """What was found out about a search on this machine.

    Attributes:
      config: of the search.
      dataset: its data, on the device.
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
    cache_dir: str | None = None,
    on_progress: OnProgress = lambda what, done, total: None,
) -> Estimate:
    """Forecast a search; nothing is written but compiled programs to their cache.

    Call it before jax starts: it sets threads and flags as a worker does.

    Args:
      config: of the search.
      workdir: of the search, which may have begun; it may not exist.
      workers: numbers of workers to estimate it for, ascending.
      cache_dir: where compiled programs are kept; nowhere if None.
      on_progress: called often.

    Raises:
      ConfigError: if all blocks are over the budget.
      DataError: if the data cannot be read.
      JournalError: if the directory holds another search.
    """
    # What Python has loaded by now counts.
    began = time.perf_counter() - time.process_time()
    runtime.configure_process(config.train.threads, cache_dir, config.train.devices)
    dataset = on_device(load(config.data))
    # The master loads libraries and data, and then its workers do.
    start = 2 * (time.perf_counter() - began)
    done = _done(config, dataset, workdir)
    began = time.perf_counter()
    for state in warm_up(config, dataset):
        on_progress("compiling layer programs", *state)
    if cache_dir is None:
        start += time.perf_counter() - began
    played = _play(config, dataset, GUESSES, on_progress)
    trials = _trials(played, dataset, on_progress)
    measured = Measured(trials, start, resident_memory())
    forecast = foretell(played, measured, workers, done)
    return Estimate(config, dataset, done, workers, measured, forecast, _programs())


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
    dataset, measured, workers = found.dataset, found.measured, found.workers

    def forecast(config: Config, guesses: Sequence[str]) -> Forecast:
        played = _play(config, dataset, guesses, on_progress)
        return foretell(played, measured, workers)

    def seconds(config: Config) -> float:
        return forecast(config, GUESSES[:1]).by_workers[workers[-1]].expected

    fitting = fitted(found.config, 3600 * hours, seconds)
    return fitting, forecast(fitting, GUESSES)


def _play(
    config: Config, dataset: Dataset, guesses: Sequence[str], on_progress: OnProgress
) -> Played:
    what = "simulating searches"
    return play(config, dataset, guesses, lambda *count: on_progress(what, *count))


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


def _trials(
    played: Played, dataset: Dataset, on_progress: OnProgress
) -> tuple[Trial, ...]:
    """Time a few candidates."""
    chosen, trials = _to_be_timed(played), []
    for number, candidate in enumerate(chosen):
        report = partial(on_progress, "timing candidates", number, len(chosen))
        trials.append(run_trial(candidate, played.config, dataset, report))
    return tuple(trials)


def _to_be_timed(played: Played) -> list[Candidate]:
    """Choose some of those that would be trained, from small to large."""
    drawn = [x for batch in played.expected.batches for x in batch]
    trained = [x.candidate for x in drawn if x.epochs]
    if not trained:
        raise ConfigError(
            f"all of {len(drawn)} blocks drawn are over the budget: raise budget."
            "max_params, max_flops or max_activation_bytes"
        )
    return spread(trained, _TRIALS)


def _programs() -> int:
    """Add up the compiled programs that are kept."""
    folder = jax.config.values["jax_compilation_cache_dir"]
    files = Path(folder).rglob("*") if folder else ()
    return sum(file.stat().st_size for file in files if file.is_file())

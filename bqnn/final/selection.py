"""Which blocks of a search to train to convergence, and how well it ranked them.

The paper: the 100 best blocks are trained in full, and the best of them by
validation accuracy are kept.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bqnn.config import BudgetConfig, Config, DataConfig, TrainConfig
from bqnn.errors import ConfigError, SearchError
from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.executors.executor import Executor, run_all
from bqnn.final.config import FinalConfig
from bqnn.search import journal
from bqnn.search.events import Evaluated
from bqnn.search.fold import evaluated
from bqnn.search.problem import make_problem
from bqnn.search.summary import Summary, update
from bqnn.stats import Correlation, Interval, correlation, difference


def best_of(search: Path, count: int) -> tuple[Evaluated, ...]:
    """Read the best candidates of a search, which may still be running.

    Args:
      search: its work directory.
      count: how many.

    Returns:
      As many by reward, one per canonical block, best first.

    Raises:
      JournalError: if there is no search.
      SearchError: if it has not as many.
    """
    with journal.open_readonly(search) as facts:
        run, history = facts.run(), facts.history()
    work = make_problem(run.config, run.images)
    summary = Summary(work.iterations, run.config.search.batch, top=count)
    for event in evaluated(work, history):
        summary = update(summary, event)
    if len(summary.best) < count:
        raise SearchError(
            f"{search}: rank {count} was asked for, but only {len(summary.best)} "
            "different blocks were trained"
        )
    return summary.best


class Trained(NamedTuple):
    """A block of a search, trained in full.

    Attributes:
      rank: its rank in the search by reward, from 1.
      found: what the search knows of it.
      evaluation: of the full training; its accuracy is on the validation part.
    """

    rank: int
    found: Evaluated
    evaluation: Evaluation

    @property
    def accuracy(self) -> float | None:
        """Validation accuracy at the end, None if the training failed."""
        return self.evaluation.accuracy[-1] if self.evaluation.accuracy else None


def worker_config(final: FinalConfig) -> Config:
    """Make the configuration of an executor that trains in full.

    Raises:
      ConfigError: if there is nothing to rank blocks by, or the data is streamed.
    """
    if not final.data.validation:
        raise ConfigError(
            "blocks are ranked by validation accuracy: set data.validation, as in "
            "--config.data.validation=0.1"
        )
    if final.data.streaming:
        raise ConfigError("blocks are ranked on data that fits in memory: see --rank")
    data = final.data
    return Config(
        data=DataConfig(data.name, data.data_dir, data.validation, data.split_seed),
        network=final.network,
        train=TrainConfig(threads=final.train.threads or 1),
        budget=BudgetConfig(timeout=1e9),
    )


def train_all(best: Sequence[Evaluated], executor: Executor) -> Iterator[Trained]:
    """Train blocks through an executor, and yield each when it is done.

    Args:
      best: candidates of a search, best first.
      executor: that was started; its workers are `bqnn.final.worker.FinalWorker`s.
    """
    ranked = [_of_rank(rank, event.candidate) for rank, event in enumerate(best, 1)]
    for candidate, evaluation in run_all(ranked, executor):
        yield Trained(candidate.slot + 1, best[candidate.slot], evaluation)


def by_accuracy(trained: Sequence[Trained]) -> list[Trained]:
    """Sort by final validation accuracy, the best first; failures last."""
    return sorted(trained, key=lambda t: (-(t.accuracy or -1.0), t.rank))


class Correlations(NamedTuple):
    """How the search's early measures rank blocks (the paper, the reward).

    Attributes:
      by_measure: `reward`, which corrects the accuracy for FLOPs and density, and
        `accuracy` alone.
      gain: what the correction adds to Spearman's correlation.
    """

    by_measure: dict[str, Correlation]
    gain: Interval


def correlations(trained: Sequence[Trained]) -> Correlations | None:
    """Correlate early reward and early accuracy with final accuracy.

    Returns:
      None if fewer than three blocks were trained.
    """
    ended = [(t, t.accuracy) for t in trained if t.accuracy is not None]
    if len(ended) < 3:
        return None
    final = [accuracy for _, accuracy in ended]
    reward = [t.found.reward for t, _ in ended]
    early = [t.found.evaluation.accuracy[-1] for t, _ in ended]
    return Correlations(
        {"reward": correlation(reward, final), "accuracy": correlation(early, final)},
        difference(reward, early, final),
    )


def to_json(trained: Sequence[Trained]) -> dict[str, Any]:
    """Turn what was found into what a file can hold."""
    found = correlations(trained)
    return {
        "blocks": [
            {
                "rank": t.rank,
                "block": str(t.found.candidate.block),
                "reward": t.found.reward,
                "early_accuracy": t.found.evaluation.accuracy[-1],
                "accuracy": t.accuracy,
                "status": str(t.evaluation.status),
                "error": t.evaluation.error,
            }
            for t in by_accuracy(trained)
        ],
        "correlations": found
        and {
            **{name: c._asdict() for name, c in found.by_measure.items()},
            "gain": found.gain,
        },
    }


def _of_rank(rank: int, candidate: Candidate) -> Candidate:
    """Name a candidate by its rank: as slot of the one batch there is."""
    return dataclasses.replace(candidate, iteration=0, slot=rank - 1)

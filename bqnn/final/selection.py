"""Selection: trains the best blocks of a search in full, and ranks them again.

In the paper, the 100 best blocks are trained in full, and the best of those by
validation accuracy are kept.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bqnn.config import BudgetConfig, Config, DataConfig, TrainConfig, schedule
from bqnn.errors import ConfigError, SearchError
from bqnn.evaluation.records import Candidate, Evaluation
from bqnn.executors.executor import Executor, run_all
from bqnn.final.config import FinalConfig
from bqnn.final.task import Task, Tasks
from bqnn.search import journal
from bqnn.search.costs import COSTS, log_cost, names_of
from bqnn.search.events import Evaluated
from bqnn.search.front import front_of, hypervolume
from bqnn.search.history import Run
from bqnn.search.problem import make_problem
from bqnn.search.reward import last_accuracy
from bqnn.search.settled import evaluated
from bqnn.search.summary import Summary, update
from bqnn.stats import Correlation, Interval, correlation, difference


def best_of(search: Path, count: int) -> tuple[Evaluated, ...]:
    """Read the candidates of a search with the highest rewards.

    Args:
      search: work directory of the search, which may still be running.
      count: number of candidates.

    Returns:
      `count` candidates by reward, best first; no two with the same canonical hash.

    Raises:
      JournalError: if there is no search.
      SearchError: if the search has fewer.
    """
    run, events = _read(search)
    iterations = schedule.parse(run.config.agent.schedule).iterations
    summary = Summary(iterations, run.config.search.batch, top=count)
    for event in events:
        summary = update(summary, event)
    if len(summary.best) < count:
        raise SearchError(
            f"{search}: rank {count} was asked for, but only {len(summary.best)} "
            "different blocks were trained"
        )
    return summary.best


class Front(NamedTuple):
    """The front of a search: blocks that no other beats in accuracy and costs.

    Attributes:
      costs: their names, of `bqnn.search.costs.COSTS`.
      found: the cheapest first, by the first cost.
      low, high: ln of the least and the largest cost that was measured, of each.
      hypervolume: mean over limits from `low` to `high` of the best accuracy within
        them; NaN if they are one.
    """

    costs: tuple[str, ...]
    found: tuple[Evaluated, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    hypervolume: float

    @property
    def best(self) -> Evaluated:
        """The most accurate block."""
        return max(self.found, key=lambda event: event.evaluation.final)


def read_front(
    search: Path, costs: Sequence[str] = (), limits: Sequence[int] = ()
) -> Front:
    """Read the front of a search.

    Args:
      search: its work directory; it may still be running.
      costs: of the network, of `COSTS`; by default those that the search has weighed.
      limits: the most that a block of the front may cost, in the order of the costs.

    Raises:
      ConfigError: if there are more limits than costs.
      JournalError: if there is no search.
      SearchError: if no block has an accuracy, or none is within the limits.
    """
    run, events = _read(search)
    names = tuple(costs) or names_of(run.config)
    if len(limits) > len(names):
        raise ConfigError(f"{len(limits)} limits: want one for {' and '.join(names)}")
    measured = [e for e in events if last_accuracy(*e[:2]) is not None]
    if not measured:
        raise SearchError(f"{search}: no block has an accuracy yet")
    accuracies = [event.evaluation.final for event in measured]
    if "latency" in names and run.config.budget.latency_table is None:
        raise SearchError(f"{search}: want a search with a table of latencies")
    logs = [[log_cost(name, event.candidate) for event in measured] for name in names]
    low, high = tuple(map(min, logs)), tuple(map(max, logs))
    spread = all(a < b for a, b in zip(low, high, strict=True))
    area = hypervolume(accuracies, logs, low, high) if spread else math.nan
    found = [measured[index] for index in front_of(accuracies, logs)]
    return Front(names, _within(found, names, limits, search), low, high, area)


def _within(
    found: Sequence[Evaluated], names: Sequence[str], limits: Sequence[int], where: Path
) -> tuple[Evaluated, ...]:
    """Leave out of a front what costs more than the limits, in the order of names."""
    bounds = [*zip(names, limits, strict=False)]
    within = [
        e for e in found if all(COSTS[name](e.candidate) <= n for name, n in bounds)
    ]
    if not within:
        most = " and ".join(f"{limit:,} {name}" for name, limit in bounds)
        least = [min(COSTS[name](e.candidate) for e in found) for name, _ in bounds]
        raise SearchError(
            f"{where}: no block has {most} or less: the least is "
            f"{' and '.join(f'{cost:,}' for cost in least)}"
        )
    return tuple(within)


def _read(search: Path) -> tuple[Run, list[Evaluated]]:
    """Read a search and what is known of its candidates."""
    with journal.open_readonly(search) as facts:
        run, history = facts.run(), facts.history()
    return run, list(evaluated(make_problem(run.config, run.images), history))


class Trained(NamedTuple):
    """A block of a search, trained in full.

    Attributes:
      rank: rank in the search by reward, from 1.
      found: candidate, early evaluation and reward in the search.
      evaluation: outcome of the full training; its accuracy is on the validation part.
    """

    rank: int
    found: Evaluated
    evaluation: Evaluation

    @property
    def accuracy(self) -> float | None:
        """Validation accuracy after the last epoch; None if the training failed."""
        return self.evaluation.accuracy[-1] if self.evaluation.accuracy else None


def worker_config(final: FinalConfig) -> Config:
    """Make the configuration of an executor whose workers train in full.

    Raises:
      ConfigError: if there is no validation part, or the data is streamed.
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


def rank_tasks(best: Sequence[Evaluated], final: FinalConfig, workdir: Path) -> Tasks:
    """Make the tasks of `train_all`: a folder of `workdir` for every rank."""
    return {
        (0, rank - 1): Task(rank_folder(workdir, rank), final)
        for rank in range(1, len(best) + 1)
    }


def rank_folder(workdir: Path, rank: int) -> Path:
    """Return the work directory of the block with this rank."""
    return workdir / f"rank{rank:03}"


def train_all(best: Sequence[Evaluated], executor: Executor) -> Iterator[Trained]:
    """Train blocks on an executor, and yield each as soon as it is trained.

    Args:
      best: candidates of a search, best first.
      executor: a started executor whose workers have the tasks of `rank_tasks`.
    """
    ranked = [_of_rank(rank, event.candidate) for rank, event in enumerate(best, 1)]
    for candidate, evaluation in run_all(ranked, executor):
        yield Trained(candidate.slot + 1, best[candidate.slot], evaluation)


def by_accuracy(trained: Sequence[Trained]) -> list[Trained]:
    """Sort by final validation accuracy, best first; failed trainings come last."""
    return sorted(trained, key=lambda t: (-(t.accuracy or -1.0), t.rank))


class Correlations(NamedTuple):
    """How well early measures rank blocks (the paper, the reward).

    Attributes:
      by_measure: correlation with final accuracy of the `reward`, which corrects early
        accuracy for FLOPs and density, and of the early `accuracy` itself.
      gain: interval of how much the correction adds to Spearman's correlation.
    """

    by_measure: dict[str, Correlation]
    gain: Interval


def correlations(trained: Sequence[Trained]) -> Correlations | None:
    """Correlate reward and early accuracy with final accuracy.

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
    """Convert to values that JSON can hold."""
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
    """Give a candidate its rank as slot; all are of one batch."""
    return dataclasses.replace(candidate, iteration=0, slot=rank - 1)

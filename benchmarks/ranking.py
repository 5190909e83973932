"""Ranking: how well models rank the blocks of a table that they were not told."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.models import Blocks, Float32, Model
from bqnn import stats
from bqnn.compare.csv_benchmarks import DATASETS, read_nasbench201, read_oracle
from bqnn.compare.tabular import TabularBenchmark
from bqnn.config import Config, RewardConfig, SpaceConfig
from bqnn.networks.plan import ImageSpec

_ORACLE = Path(__file__).parents[1] / "tests" / "assets" / "oracle.csv"
_DIGITS = ImageSpec(8, 8, 1, 10)
_MOST = 2000  # to be ranked: so many tell tau to 0.01


class RankingRow(NamedTuple):
    """One model, told so many blocks of one table.

    Attributes:
      table: name of the table.
      model: name of the model.
      told: number of blocks told.
      against: the value by which the others are ranked: `reported`, or `told`, the
        measure that the model is told.
      tau: mean of Kendall's tau-b over the draws.
      low, high: ends of its 95 % interval.
      seconds: of CPU to fit and to foretell, the median.
    """

    table: str
    model: str
    told: int
    against: str
    tau: float
    low: float
    high: float
    seconds: float


def tables(nasbench201: str | None) -> Mapping[str, TabularBenchmark]:
    """Return the oracle, and the data sets of NAS-Bench-201 if its file is given.

    Raises:
      DataError: if the file cannot be read.
    """
    config = Config(space=SpaceConfig(max_layers=3), reward=RewardConfig(mu=0, rho=0))
    found = {"oracle": read_oracle(_ORACLE, config, _DIGITS)}
    if nasbench201:
        for name in DATASETS:
            title = f"NAS-Bench-201, {name}"
            found[title] = read_nasbench201(Path(nasbench201), name)
    return found


def measure(
    table: str,
    benchmark: TabularBenchmark,
    models: Mapping[str, Model],
    counts: Sequence[int],
    draws: int,
    on_draw: Callable[[], None] = lambda: None,
) -> Iterator[RankingRow]:
    """Tell every model the same random blocks; rank the others.

    Args:
      table: name of the table.
      benchmark: its results.
      models: by name.
      counts: how many blocks are told.
      draws: how often, other blocks each time.
      on_draw: called after each.
    """
    blocks, rewards, reported = distinct(benchmark)
    for count in counts:
        ranked: dict[str, list[_Ranked]] = {name: [] for name in models}
        for draw in range(draws):
            order = np.random.default_rng(draw).permutation(len(rewards))
            told, unseen = order[:count], order[count:][:_MOST]
            for name, model in models.items():
                start = time.process_time()
                values = model(blocks.at(told), rewards[told], blocks.at(unseen))
                seconds = time.process_time() - start
                by_reported = _tau(values, reported[unseen])
                by_told = _tau(values, rewards[unseen])
                ranked[name].append(_Ranked(by_reported, by_told, seconds))
            on_draw()
        for name, runs in ranked.items():
            yield from _rows(table, name, count, runs)


class _Ranked(NamedTuple):
    """Kendall's tau against both measures, and the time, of one draw."""

    reported: float
    told: float
    seconds: float


def _rows(
    table: str, model: str, count: int, runs: Sequence[_Ranked]
) -> Iterator[RankingRow]:
    # The median leaves out the first draw, which compiles.
    seconds = statistics.median(run.seconds for run in runs)
    for against, taus in (
        ("reported", [run.reported for run in runs]),
        ("told", [run.told for run in runs]),
    ):
        mean = stats.mean(np.array(taus))
        tau, low, high = map(float, (mean.value, *mean.interval))
        yield RankingRow(table, model, count, against, tau, low, high, seconds)


def _tau(values: Float32, truth: Float32) -> float:
    from scipy.stats import kendalltau

    return float(kendalltau(values, truth).statistic)


def distinct(benchmark: TabularBenchmark) -> tuple[Blocks, Float32, Float32]:
    """Return one block for each function, its rewards, and its reported values."""
    space = benchmark.space
    indices = np.flatnonzero(np.isfinite(benchmark.rewards)).astype(np.int32)
    actions = benchmark.actions_of(indices)
    keys = np.asarray(jax.jit(jax.vmap(space.key))(jnp.asarray(actions)))
    first = np.unique(keys, return_index=True)[1]
    indices, actions = indices[first], actions[first]
    features = jax.jit(jax.vmap(space.features))(jnp.asarray(actions))
    steps = np.arange(actions.shape[1])
    layers = np.where(
        (actions >= 0)[..., None], space.codes[steps, np.maximum(actions, 0)], 0
    )
    lengths = (actions >= 0).sum(axis=1).astype(np.int32)
    blocks = Blocks(np.asarray(features), layers, lengths)
    return blocks, benchmark.rewards[indices], benchmark.true_values[indices]

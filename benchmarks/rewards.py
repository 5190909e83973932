"""Rewards: how they rank the blocks of tables by final accuracy.

The learned reward sees the final accuracy of a few blocks alone: those that
`bqnn.search.calibration` chooses of 100 random ones, as a search would have them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bqnn import stats
from bqnn.compare.csv_benchmarks import (
    DATASETS,
    accuracy,
    read_nasbench201,
    read_rows,
)
from bqnn.config import RewardConfig
from bqnn.networks.cost import density
from bqnn.search.calibration import FITTED, Floats, fit, foretell, to_train
from bqnn.space import nsc
from bqnn.space.nasbench201 import cell_costs

COUNTS = (8, 12, 16, 32)
"""How many blocks are trained in full."""

SEARCHED = 100
"""Blocks that a search has when it chooses among them."""

_NSC_BENCH = Path(__file__).parents[1] / "nsc_bench" / "nsc_bench.csv.xz"
_LAYERS = 4  # of whose blocks NSC-Bench has a random sample

_LEARNED: Mapping[str, tuple[Sequence[str], bool]] = {
    "learned": (FITTED, True),
    "learned, from random blocks": (FITTED, False),
    "learned, with ln FLOPs too": ((*FITTED, "log_flops"), True),
    "learned, with ln density too": ((*FITTED, "log_density"), True),
}
"""Terms of each, and whether blocks are chosen rather than drawn."""


class Blocks(NamedTuple):
    """Blocks of a table.

    Attributes:
      terms: `accuracy`, early, and logarithms of costs, float64 `[N]` each.
      final: accuracy after full training, float64 `[N]`.
    """

    terms: dict[str, Floats]
    final: Floats

    def columns(self, names: Sequence[str]) -> Floats:
        """Return terms, float64 `[N, D]`."""
        return np.stack([self.terms[name] for name in names], axis=1)


class RewardRow(NamedTuple):
    """How a reward ranks a table.

    Attributes:
      table: its name.
      reward: name of the reward.
      trained: blocks trained in full; 0 for a reward that learns nothing.
      over: `all` blocks, or the `better half` by early accuracy.
      spearman: rank correlation with final accuracy, the mean over draws.
      low, high: ends of its 95 % interval.
    """

    table: str
    reward: str
    trained: int
    over: str
    spearman: float
    low: float
    high: float


def tables(nasbench201: str | None) -> Iterator[tuple[str, Blocks]]:
    """Yield NSC-Bench, and the data sets of NAS-Bench-201 if its file is given.

    Raises:
      DataError: if the file cannot be read.
    """
    yield "NSC-Bench, epoch 1 against 2", _nsc_bench()
    if not nasbench201:
        return
    for dataset in DATASETS:
        benchmark = read_nasbench201(Path(nasbench201), dataset)
        entries = np.arange(len(benchmark.rewards), dtype=np.int32)
        params, flops, dense = cell_costs(benchmark.actions_of(entries))
        terms = {
            "accuracy": benchmark.rewards.astype(np.float64),
            "log_params": np.log(params),
            "log_flops": np.log(flops),
            # A cell without any edge has no logarithm.
            "log_density": np.log(np.maximum(dense, 0.5)),
        }
        final = benchmark.true_values.astype(np.float64)
        yield f"NAS-Bench-201, {dataset}", Blocks(terms, final)


def measure(
    table: str,
    blocks: Blocks,
    draws: int,
    on_draw: Callable[[], None] = lambda: None,
) -> Iterator[RewardRow]:
    """Rank the blocks of a table by each reward.

    Args:
      table: its name.
      blocks: its blocks.
      draws: how often other blocks are trained in full.
      on_draw: called after each, for every one of `COUNTS`.
    """
    scores = _Scores(blocks)
    paper = RewardConfig()
    early = blocks.terms["accuracy"]
    costs = blocks.columns(("log_flops", "log_density")) @ [paper.mu, paper.rho]
    for name, values in (("accuracy", early), ("paper", early - costs / 100)):
        yield from _rows(table, name, 0, np.array([scores(values)]))
    for count in COUNTS:
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in _LEARNED}
        for draw in range(draws):
            order = np.random.default_rng(draw).permutation(len(early))
            searched = order[:SEARCHED]
            params = blocks.terms["log_params"][searched]
            chosen = to_train(early[searched], params, count)
            for name, (terms, choose) in _LEARNED.items():
                values = blocks.columns(terms)
                rows = searched[chosen if choose else [*range(count)]]
                fitted = fit(terms, values[rows], blocks.final[rows])
                found[name].append(scores(foretell(fitted, values)))
            on_draw()
        for name, pairs in found.items():
            yield from _rows(table, name, count, np.array(pairs))


class _Scores:
    """Spearman's correlation with final accuracy, over all and the better half."""

    def __init__(self, blocks: Blocks) -> None:
        early = blocks.terms["accuracy"]
        self._parts = [early >= least for least in (early.min(), np.median(early))]
        self._ranks = [_ranks(blocks.final[part]) for part in self._parts]

    def __call__(self, values: Floats) -> tuple[float, float]:
        everywhere, better = (
            float(np.mean(_ranks(values[part]) * ranks))
            for part, ranks in zip(self._parts, self._ranks, strict=True)
        )
        return everywhere, better


def _ranks(values: Floats) -> Floats:
    """Rank values, and standardise the ranks, float64 `[N]`."""
    from scipy.stats import rankdata

    ranks = rankdata(values)
    return (ranks - ranks.mean()) / ranks.std()


def _rows(table: str, reward: str, count: int, found: Floats) -> Iterator[RewardRow]:
    """Average Spearman's correlations of draws, float64 `[R, 2]`."""
    means, (lows, highs) = stats.mean(found)
    for part, over in enumerate(("all", "better half")):
        ends = (float(side[part]) for side in (means, lows, highs))
        yield RewardRow(table, reward, count, over, *ends)


def _nsc_bench() -> Blocks:
    """Read blocks of four layers; early and final accuracy are of other seeds."""
    rows = read_rows(_NSC_BENCH, "block")
    found = []
    for text, row in rows.items():
        block = nsc.parse(text)
        if len(block) == _LAYERS:
            early, *final = (
                accuracy(_NSC_BENCH, row, column, 1)
                for column in ("epoch_1_accuracy_0", "accuracy_1", "accuracy_2")
            )
            costs = float(row["params"]), float(row["flops"]), density(block).value
            found.append((early, *np.log(costs), np.mean(final)))
    *terms, final = np.array(found).T
    names = ("accuracy", "log_params", "log_flops", "log_density")
    return Blocks(dict(zip(names, terms, strict=True)), final)

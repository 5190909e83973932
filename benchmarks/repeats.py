"""Repeats: what a search gains whose best candidates are trained several times.

The table of digits has three trainings of every block. A search is given them in an
order of its own. The last one it never sees: it says how good the block is that the
search calls its best.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bqnn import stats
from bqnn.compare.csv_benchmarks import accuracy, read_rows
from bqnn.compare.many_seeds import for_budget
from bqnn.config import (
    AgentConfig,
    Config,
    RewardConfig,
    SearchConfig,
    SpaceConfig,
    TrainConfig,
)
from bqnn.evaluation.records import Candidate, Evaluation, Status, repeated
from bqnn.forecast.simulation import epochs_of, simulate
from bqnn.networks.plan import ImageSpec
from bqnn.search.problem import make_problem
from bqnn.search.reward import last_accuracy
from bqnn.space import nsc

ORACLE = Path(__file__).parents[1] / "tests" / "assets" / "oracle.csv"
_TRAININGS, _LAYERS, _DIGITS = 3, 3, ImageSpec(8, 8, 1, 10)

# Candidates of a search, and trainings of its best. One more would leave none unseen.
SETTINGS = ((64, 1), (96, 1), (128, 1), (192, 1), (64, 2), (128, 2))

Trainings = Mapping[str, tuple[float, ...]]
"""Accuracies of several trainings, by canonical hash."""


class RepeatRow(NamedTuple):
    """What searches have found, on average over seeds.

    Attributes:
      candidates: asked by a search.
      repeats: as `train.repeats`.
      trained: trainings of a search.
      told: accuracy of its best block as it was told.
      unseen: accuracy of that block in a training that the search did not see.
      low, high: ends of the 95 % interval of `unseen`.
    """

    candidates: int
    repeats: int
    trained: float
    told: float
    unseen: float
    low: float
    high: float


def read(path: Path = ORACLE) -> Trainings:
    """Read the table of digits.

    Raises:
      DataError: if it cannot be read.
    """
    names = [f"accuracy_{n}" for n in range(_TRAININGS)]
    return {
        nsc.canonical_hash(nsc.parse(text)): tuple(
            accuracy(path, row, name, 1) for name in names
        )
        for text, row in read_rows(path, "block").items()
    }


def measure(
    table: Trainings, seeds: int, on_search: Callable[[], None] = lambda: None
) -> Iterator[RepeatRow]:
    """Play searches with each of `SETTINGS`, told the accuracy.

    Args:
      table: of trainings.
      seeds: searches of each.
      on_search: called after every search.
    """
    for candidates, repeats in SETTINGS:
        found = []
        for seed in range(seeds):
            found.append(play(table, _config(candidates, repeats, seed)))
            on_search()
        trained, told, unseen = np.array(found).T
        mean, (low, high) = stats.mean(unseen)
        yield RepeatRow(
            candidates,
            repeats,
            float(trained.mean()),
            float(told.mean()),
            float(mean),
            float(low),
            float(high),
        )


def play(table: Trainings, config: Config) -> tuple[int, float, float]:
    """Play one search.

    Args:
      table: of trainings.
      config: of the search.

    Returns:
      How often it trained, what it was told of its best block, and the accuracy of that
      block in a training that it did not see.
    """
    order = np.random.default_rng(config.search.seed).permutation(_TRAININGS)

    def evaluate(candidate: Candidate) -> Evaluation:
        first, *others = (table[candidate.hash][n] for n in order)
        again = repeated(candidate, (first,)) * (config.train.repeats - 1)
        return Evaluation(Status.OK, (first,), repeats=tuple(others[:again]))

    problem = make_problem(config, _DIGITS)
    known = [pair for batch in simulate(problem, evaluate) for pair in batch]
    best, told = max(
        ((candidate, last_accuracy(candidate, e) or 0.0) for candidate, e in known),
        key=lambda pair: pair[1],
    )
    trained = sum(epochs_of(evaluation) for _, evaluation in known)
    return trained, told, table[best.hash][order[-1]]


def _config(candidates: int, repeats: int, seed: int) -> Config:
    """Make the search of the quickstart, in blocks of up to three layers."""
    batch = 8
    agent = AgentConfig(
        name="q_model",
        schedule="1.0:4,0.5:2,0.1:2",
        alpha=0.5,
        replay_updates=256,
        exploration="types",
    )
    return Config(
        space=SpaceConfig(max_layers=_LAYERS),
        agent=for_budget(agent, candidates, batch),
        search=SearchConfig(batch=batch, seed=seed),
        train=TrainConfig(epochs=1, repeats=repeats),
        reward=RewardConfig(kind="accuracy"),
    )

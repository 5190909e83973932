"""Stopping: rules replayed on the curves of searches that trained everything whole.

What a rule costs and what it loses is known then, for every training has an end. What
is not known is what an agent would have asked, had it been told what the rule foretells
instead: it asks here what it asked.
"""

import dataclasses
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.stopping_rules import RULES, Judge, Rule
from bqnn import stats
from bqnn.errors import SearchError
from bqnn.evaluation.records import Candidate, Evaluation, Status, taught
from bqnn.search import journal
from bqnn.search.history import Batch
from bqnn.search.settled import settled_evaluations

DRAWN = 128
"""Blocks of a search in random order, at most."""

_LEAST = 2  # whole curves, so that there are ranks


class Search(NamedTuple):
    """A search that trained every candidate whole.

    Attributes:
      recipe: what decides a curve besides block and seed.
      batches: candidates with whole curves, as they were asked.
      size: candidates of a batch.
      lag: of the batches asked before one, how many are not told by then.
      last: epochs of a whole training.
    """

    recipe: Hashable
    batches: Sequence[Batch]
    size: int
    lag: int
    last: int


class Replay(NamedTuple):
    """What a rule did to a search; blocks count once, as they were asked first.

    Attributes:
      share: epochs trained, of those of whole trainings.
      kept: 1 if the best block, or one as good, was trained whole, else 0.
      lost: accuracy by which the best block trained whole is below the best.
      spearman: rank correlation of what the agent is told with the ends.
      reach: epochs trained until the best block was whole, of those that it takes
        without a rule; NaN if it never was.
    """

    share: float
    kept: float
    lost: float
    spearman: float
    reach: float


class StoppingRow(NamedTuple):
    """What a rule does on average: the fields of `Replay`, each with its interval.

    Attributes:
      rule: its name.
      means: by field.
      lows, highs: ends of their 95 % intervals.
    """

    rule: str
    means: Replay
    lows: Replay
    highs: Replay


def read(folders: Sequence[Path]) -> list[Search]:
    """Read searches of one recipe; other directories change nothing about any of them.

    Raises:
      JournalError: if a directory has no search.
      SearchError: if one stopped trainings itself, has no whole curves, or has another
        recipe than the first.
    """
    found = {folder: _read(folder) for folder in folders}
    first = next(iter(found.values()))
    for folder, search in found.items():
        if search.recipe != first.recipe:
            raise SearchError(
                f"{folder} has another recipe than {folders[0]}: want the same images, "
                "network and training"
            )
    return [*found.values()]


def in_random_order(searches: Sequence[Search], draws: int) -> list[Search]:
    """Draw searches of up to `DRAWN` blocks from the curves of all of them."""
    first = searches[0]
    pairs = (pair for search in searches for batch in search.batches for pair in batch)
    by_hash = {pair[0].hash: pair for pair in pairs}
    pool, drawn = [*by_hash.values()], []
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(pool))[:DRAWN].tolist()
        chosen = [pool[index] for index in order]
        starts = range(0, len(chosen), first.size)
        batches = [chosen[start : start + first.size] for start in starts]
        drawn.append(first._replace(batches=batches))
    return drawn


def measure(
    searches: Sequence[Search],
    rules: Mapping[str, Rule] = RULES,
    on_rule: Callable[[], None] = lambda: None,
) -> Iterator[StoppingRow]:
    """Replay rules on searches; `on_rule` is called after each rule."""
    for name, rule in rules.items():
        replays = [replay(search, rule) for search in searches]
        yield StoppingRow(name, *_means(np.array(replays, np.float64)))
        on_rule()


def replay(search: Search, rule: Rule) -> Replay:
    """Replay a rule on a search."""
    told: list[Batch] = []
    ended: dict[str, tuple[float, int, float]] = {}  # foretold, epochs, real end
    for number, asked in enumerate(search.batches):
        judge = rule(told[: max(0, number - search.lag)], search.last)
        batch = []
        for candidate, full in asked:
            if candidate.hash not in ended:
                ended[candidate.hash] = _train(judge, candidate, full.accuracy)
            epochs = ended[candidate.hash][1]
            status = Status.OK if epochs == search.last else Status.STOPPED
            batch.append((candidate, Evaluation(status, full.accuracy[:epochs])))
        told.append(batch)
    return _summary(np.array([*ended.values()]), search.last)


def _train(
    judge: Judge, candidate: Candidate, curve: tuple[float, ...]
) -> tuple[float, int, float]:
    """Return the end foretold, epochs trained and the real end."""
    for epoch in range(1, len(curve)):
        end = judge(candidate, curve[:epoch])
        if end is not None:
            return end, epoch, curve[-1]
    return curve[-1], len(curve), curve[-1]


def _summary(ended: NDArray[np.float64], last: int) -> Replay:
    """Sum up trainings in the order asked, float64 `[N, 3]`, as `_train` has them."""
    from scipy.stats import spearmanr  # slow

    foretold, epochs, ends = ended.T
    full, best = epochs == last, ends.max()
    found = np.flatnonzero(full & (ends == best))
    alone = last * (1 + np.argmax(ends == best))
    return Replay(
        share=epochs.sum() / (last * len(ends)),
        kept=float(len(found) > 0),
        lost=best - ends[full].max(initial=0.0),
        spearman=spearmanr(foretold, ends).statistic,
        reach=epochs[: found[0] + 1].sum() / alone if len(found) else math.nan,
    )


def _means(replays: NDArray[np.float64]) -> tuple[Replay, Replay, Replay]:
    """Average replays, float64 `[R, 5]`, and find the ends of the intervals."""
    columns = []
    for field, values in zip(Replay._fields, replays.T, strict=True):
        known = values[~np.isnan(values)]
        if field == "kept":
            columns.append((known.mean(), *_wilson(known.sum(), len(known))))
        elif len(known) == 0:
            columns.append((math.nan,) * 3)
        else:
            mean, (low, high) = stats.mean(known)
            columns.append((float(mean), float(low), float(high)))
    means, lows, highs = (Replay(*side) for side in zip(*columns, strict=True))
    return means, lows, highs


def _wilson(hits: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, 1927).

    A bootstrap would be sure of a share that was 1 in every replay.
    """
    square = 1.96**2
    middle = (hits + square / 2) / (count + square)
    half = math.sqrt(square * (hits * (count - hits) / count + square / 4))
    return middle - half / (count + square), middle + half / (count + square)


def _read(folder: Path) -> Search:
    with journal.open_readonly(folder) as facts:
        run, history = facts.run(), facts.history()
    train, finals = run.config.train, settled_evaluations(history)
    if any(ask.standing.rungs for ask in history.asks):
        raise SearchError(
            f"{folder} stopped trainings: want a search without train.rungs"
        )
    batches = [
        [
            (candidate, finals[candidate.id])
            for candidate in ask.candidates
            if candidate.id in finals and _is_whole(finals[candidate.id], train.epochs)
        ]
        for ask in history.asks
    ]
    if sum(map(len, batches)) < _LEAST:
        raise SearchError(f"{folder} has no curves of {train.epochs} epochs")
    recipe = (
        run.fingerprint,
        run.images,
        run.config.network,
        dataclasses.replace(train, seed=None, rungs=(), eta=3.0),
    )
    size, lag = run.config.search.batch, run.config.search.lag
    return Search(recipe, batches, size, lag, train.epochs)


def _is_whole(evaluation: Evaluation, epochs: int) -> bool:
    return taught(evaluation) and len(evaluation.accuracy) == epochs

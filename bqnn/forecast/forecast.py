"""Forecast: hours, memory and disk of a search, by number of workers.

Axes: N iterations of the search, B candidates of a batch, F features of a candidate,
and Q quantities of seconds: those of a preparation, and of an epoch.
"""

import heapq
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn.config import schedule
from bqnn.evaluation.records import Candidate, CandidateId, Status
from bqnn.forecast.simulation import Played, Simulation, epochs_of
from bqnn.networks import cost
from bqnn.networks.plan import plan
from bqnn.search.history import Batch

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]


class Measured(NamedTuple):
    """What this machine has shown.

    Attributes:
      trials: candidates that were timed by `TrialWorker`s, all of these at once.
      workers: how many these were.
      slower: seconds that one of them took, relative to a worker alone.
      start: seconds before a search trains its first candidate.
      programs: bytes of the compiled programs on the disk, of all searches.
    """

    trials: Batch
    workers: int
    slower: float
    start: float
    programs: int


class Span(NamedTuple):
    """Seconds: as expected, and the ends between which they should be."""

    expected: float
    low: float
    high: float


class Forecast(NamedTuple):
    """What a search will cost from here on.

    Attributes:
      candidates: of the whole search.
      statuses: how many of those that are left will end in what way.
      trainings: how many are trained.
      epochs: that these are trained in all.
      work: seconds of all of it for one worker that never waits.
      by_workers: seconds to the end by number of workers.
      memory: bytes of a worker.
      journal: bytes of the journal at the end.
      measured: what it was computed from.
    """

    candidates: int
    statuses: Counter[Status]
    trainings: int
    epochs: int
    work: float
    by_workers: Mapping[int, Span]
    memory: int
    journal: int
    measured: Measured


def foretell(
    played: Played,
    measured: Measured,
    workers: Sequence[int],
    done: Collection[CandidateId] = (),
) -> Forecast:
    """Forecast a search from a few of its candidates, timed.

    The range spans the simulations, widened by two standard errors of the timing.

    Args:
      played: the search, simulated.
      measured: of candidates of its network and recipe.
      workers: numbers of workers.
      done: candidates that an earlier run has evaluated.
    """
    search, reward = played.config.search, played.config.reward
    found = [evaluation.seconds for _, evaluation in measured.trials]
    seconds = np.array([(taken["preparation"], taken["epoch"]) for taken in found])
    timed = _features(played, [candidate for candidate, _ in measured.trials])
    alone = fit(timed, seconds / measured.slower)
    residuals = (seconds / (timed @ alone) / measured.slower)[:, 1]
    error = 2 * residuals.std() / len(residuals) ** 0.5
    courses = [_course(played, simulation, done) for simulation in played.simulations]
    middle, in_full = len(courses) // 2, _seconds_in_full(played, alone)
    spent = [(counts * (features @ alone)).sum(-1) for _, features, counts in courses]
    lag = search.lag if search.order == "slot" else len(spent[0])
    by_workers = {}
    for count in workers:
        rounds = in_full / min(count, reward.full_blocks)
        ends = [makespan(grid, count, lag) + rounds for grid in spent]
        span = (ends[middle], min(ends) * (1 - error), max(ends) * (1 + error))
        slower = np.interp(count, (1, max(2, measured.workers)), (1, measured.slower))
        by_workers[count] = Span(*(measured.start + float(slower) * s for s in span))
    left, _, counts = courses[middle]
    return Forecast(
        candidates=spent[middle].size,
        statuses=Counter(evaluation.status for _, evaluation in left),
        trainings=int(counts[..., 0].sum()),
        epochs=int(counts[..., 1].sum()),
        work=float(spent[middle].sum()) + in_full,
        by_workers=by_workers,
        memory=int(max(taken["memory"] for taken in found)),
        journal=_journal(played, spent[middle].size),
        measured=measured,
    )


def fit(features: Floats, seconds: Floats) -> Floats:
    """Fit seconds as a sum of features, each times a coefficient that is not negative.

    Least squares of relative errors. Then all coefficients are scaled so that what is
    foretold of the candidates adds up to what they took.

    Args:
      features: of candidates that were timed, float64 `[..., F]`, above 0.
      seconds: that they took, float64 `[..., Q]`, above 0.

    Returns:
      The coefficients, float64 `[F, Q]`.
    """
    from scipy.optimize import nnls  # slow

    scale, ones = features.mean(axis=0), np.ones(len(features))
    relative = (features / scale / column[:, None] for column in seconds.T)
    found = np.stack([nnls(x, ones)[0] / scale for x in relative], axis=1)
    return np.asarray(found * (seconds.sum(axis=0) / (features @ found).sum(axis=0)))


def makespan(seconds: Floats, workers: int, lag: int) -> float:
    """Compute when the last batch of a search is told.

    A batch is asked when all but `lag` of those before it are told, as in slot order;
    workers take the longest candidate of the earliest batch first.

    Args:
      seconds: of every candidate by iteration and slot, `[N, B]`; 0 for one that no
        worker takes.
      workers: of one speed.
      lag: batches in flight beyond the one being told.
    """
    free, told = [0.0] * workers, [0.0]
    for iteration, batch in enumerate(seconds):
        asked, last = told[max(0, iteration - lag)], told[-1]
        for spent in np.sort(batch[batch > 0])[::-1]:
            end = max(asked, heapq.heappop(free)) + float(spent)
            heapq.heappush(free, end)
            last = max(last, end)
        told.append(last)
    return told[-1]


def stretched(played: int, iterations: int, first: int) -> Int64:
    """Spread the batches of a short search over a longer one.

    Args:
      played: batches of the short search.
      iterations: of the longer search, at least as many.
      first: batches asked before the first is told, which are as many in any search.

    Returns:
      For every iteration the batch that stands for it, int64 `[N]`.
    """
    first = min(first, played - 1)
    rest = np.arange(iterations - first) * (played - first) // (iterations - first)
    return np.concatenate([np.arange(first), first + rest])


def _course(
    played: Played, simulation: Simulation, done: Collection[CandidateId]
) -> tuple[Batch, Floats, Int64]:
    """Stretch a simulation over the whole search, without what is done.

    Returns:
      The candidates that are left; the features of all, float64 `[N, B, F]`; and how
      often they are prepared, and epochs trained, from here on, int64 `[N, B, Q]`.
    """
    iterations = schedule.parse(played.config.agent.schedule).iterations
    rows = stretched(len(simulation), iterations, 1 + played.config.search.lag)
    is_left = np.ones((iterations, played.config.search.batch), bool)
    for candidate_id in done:
        is_left[candidate_id] = False
    left = [simulation[rows[n]][slot] for n, slot in np.argwhere(is_left)]
    features = np.stack([_features(played, [c for c, _ in b]) for b in simulation])
    epochs = np.array([[epochs_of(e) for _, e in batch] for batch in simulation])
    counts = np.stack([epochs > 0, epochs], axis=-1)
    return left, features[rows], counts[rows] * is_left[..., None]


def _seconds_in_full(played: Played, alone: Floats) -> float:
    """Return the seconds of the trainings from which a search learns its reward."""
    reward = played.config.reward
    if reward.kind != "learned" or not played.trained:
        return 0.0
    prepared, epoch = _features(played, played.trained).mean(axis=0) @ alone
    return float(reward.full_blocks * (prepared + reward.full_epochs * epoch))


def _features(played: Played, candidates: Sequence[Candidate]) -> Floats:
    """Describe candidates by what decides their seconds, float64 `[..., F]`.

    The nodes of the network, its multiply-adds, and the numbers that it keeps for the
    backward pass.
    """
    found = []
    for candidate in candidates:
        network = plan(candidate.block, played.config.network, played.images)
        whole = cost.network_cost(network)
        found.append((len(network.nodes), whole.flops, whole.activations))
    return np.array(found, np.float64)


def _journal(played: Played, candidates: int) -> int:
    """Return the bytes of a journal: empty tables, then blocks and accuracies.

    Within a fifth of journals with 64 to 640 candidates of 2 to 23 layers.
    """
    flat = [attempt for batch in played.expected for attempt in batch]
    text = sum(len(str(candidate.block)) for candidate, _ in flat) / len(flat)
    epochs = sum(epochs_of(evaluation) for _, evaluation in flat) / len(flat)
    return int(60_000 + candidates * (300 + 2.5 * text + 20 * epochs))

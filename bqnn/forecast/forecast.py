"""Forecast: hours, memory and disk of a search, by number of workers.

Axes: N iterations of the search, B candidates of a batch, F features and Q quantities
as in `bqnn.forecast.model`.
"""

import heapq
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn.config import schedule
from bqnn.evaluation.records import Candidate, CandidateId, Status
from bqnn.forecast import model
from bqnn.forecast.simulation import Played, Simulation
from bqnn.forecast.trials import Trial
from bqnn.networks import cost
from bqnn.networks.plan import plan

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]


class Measured(NamedTuple):
    """What this machine has shown.

    Attributes:
      trials: candidates that were timed, as many beside each other as workers.
      workers: how many these were.
      slower: seconds that one of them took, relative to a worker alone.
      start: seconds before a search trains its first candidate.
    """

    trials: tuple[Trial, ...]
    workers: int
    slower: float
    start: float


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
    """

    candidates: int
    statuses: Counter[Status]
    trainings: int
    epochs: int
    work: float
    by_workers: Mapping[int, Span]
    memory: int
    journal: int


def foretell(
    played: Played,
    measured: Measured,
    workers: Sequence[int],
    done: Collection[CandidateId] = (),
) -> Forecast:
    """Forecast a search from a few of its candidates, timed.

    The range spans the simulations, and what timing few candidates leaves open.

    Args:
      played: the search, simulated.
      measured: of candidates of its network and recipe.
      workers: numbers of workers.
      done: candidates that an earlier run has evaluated.
    """
    search, reward = played.config.search, played.config.reward
    timed = _features(played, [trial.candidate for trial in measured.trials])
    seconds = np.array([(trial.preparation, trial.epoch) for trial in measured.trials])
    # Those of a worker alone.
    coefficients = model.fit(timed, seconds / measured.slower)
    courses = [_course(played, simulation, done) for simulation in played.simulations]
    spent = [(course.amounts * coefficients).sum((2, 3)) for course in courses]
    course, in_full = courses[0], _seconds_in_full(played, coefficients)
    low, high = model.relative_interval(timed, seconds, course.amounts.sum((0, 1)))
    lag = search.lag if search.order == "slot" else len(course.left)
    by_workers = {}
    for count in workers:
        rounds = in_full / min(count, reward.full_blocks)
        slower = _slower(measured, count)
        ends = [slower * (makespan(grid, count, lag) + rounds) for grid in spent]
        span = (ends[0], min(ends) * low, max(ends) * high)
        by_workers[count] = Span(*(measured.start + end for end in span))
    simulated = len(played.simulations[0].batches) * search.batch
    return Forecast(
        candidates=course.left.size,
        statuses=Counter(course.statuses[course.left].tolist()),
        trainings=int((course.epochs > 0).sum()),
        epochs=int(course.epochs.sum()),
        work=float(spent[0].sum()) + in_full,
        by_workers=by_workers,
        memory=_memory(played, measured, timed),
        journal=played.simulations[0].journal_bytes * course.left.size // simulated,
    )


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

    The first batches are asked before anything is told: there are as many of them in
    any search.

    Args:
      played: S, batches of the short search.
      iterations: of the longer search, at least S.
      first: batches asked before the first is told.

    Returns:
      For every iteration the batch that stands for it, int64 `[iterations]`.
    """
    first = min(first, played - 1)
    rest = np.arange(iterations - first) * (played - first) // (iterations - first)
    return np.concatenate([np.arange(first), first + rest])


def _slower(measured: Measured, count: int) -> float:
    """Interpolate the seconds of a worker beside others, relative to one alone."""
    return float(np.interp(count, (1, max(2, measured.workers)), (1, measured.slower)))


def _seconds_in_full(played: Played, coefficients: Floats) -> float:
    """Return the seconds of the trainings from which a search learns its reward."""
    reward, trained = played.config.reward, played.simulations[0].trained
    if reward.kind != "learned" or not trained:
        return 0.0
    prepared, epoch = _features(played, trained).mean(axis=0) @ coefficients
    return float(reward.full_blocks * (prepared + reward.full_epochs * epoch))


class _Course(NamedTuple):
    """The candidates of a search in order.

    Attributes:
      left: whether they have no evaluation yet, bool `[N, B]`.
      statuses: how they end, object `[N, B]`.
      epochs: that they are trained from here on, int64 `[N, B]`.
      amounts: how often every coefficient of the model counts, float64 `[N, B, F, Q]`.
    """

    left: NDArray[np.bool_]
    statuses: NDArray[Any]
    epochs: Int64
    amounts: Floats


def _course(
    played: Played, simulation: Simulation, done: Collection[CandidateId]
) -> _Course:
    """Stretch a simulation over the whole search, without what is done."""
    search, short = played.config.search, simulation.batches
    iterations = schedule.parse(played.config.agent.schedule).iterations
    rows = stretched(len(short), iterations, 1 + search.lag)
    left = np.ones((iterations, search.batch), bool)
    for candidate_id in done:
        left[candidate_id] = False
    epochs = left * np.array([[x.epochs for x in batch] for batch in short])[rows]
    statuses = np.array([[x.status for x in batch] for batch in short], object)[rows]
    features = np.stack([_features(played, [x.candidate for x in b]) for b in short])
    counts = np.stack([epochs > 0, epochs], axis=-1)
    amounts = features[rows][..., :, None] * counts[..., None, :]
    return _Course(left, statuses, epochs, amounts)


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


def _memory(played: Played, measured: Measured, timed: Floats) -> int:
    """Add what the largest candidate keeps beyond the largest that was timed."""
    trained = _features(played, played.simulations[0].trained)
    excess = trained[:, 2].max() - timed[:, 2].max()
    kept = cost.Cost(0, 0, max(0, int(excess)))
    train = played.config.train
    held = max(trial.memory for trial in measured.trials)
    return held + cost.activation_bytes(kept, train.batch, train.dtype)

"""Forecast: hours, memory and disk of a search, by number of workers.

Axes: N iterations of the search, B candidates of a batch, F features and Q quantities
as in `bqnn.forecast.model`.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn.config import schedule
from bqnn.evaluation.records import Candidate, CandidateId, Status
from bqnn.forecast import model
from bqnn.forecast.course import makespan, stretched
from bqnn.forecast.simulation import Played, Simulation
from bqnn.forecast.trials import Trial
from bqnn.networks import cost
from bqnn.networks.plan import plan

Floats = NDArray[np.float64]

BESIDE_OTHERS = 1.1
"""Seconds that a worker beside others takes, relative to one alone.

Two on two cores did 1.74 to 1.89 times the work of one (docs/speed.md).
"""

_AT_LEAST, _AT_MOST = 1.0, 1.15


class Measured(NamedTuple):
    """What this machine has shown.

    Attributes:
      trials: candidates that were timed.
      start: seconds before a search trains its first candidate.
      memory: bytes that a process held at most while it timed them.
    """

    trials: tuple[Trial, ...]
    start: float
    memory: int


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

    The range spans the guesses of `played`, and what timing few candidates leaves open.

    Args:
      played: the search, simulated.
      measured: of candidates of its network and recipe.
      workers: numbers of workers.
      done: candidates that an earlier run has evaluated.
    """
    search, trials = played.config.search, measured.trials
    timed = _features(played, [trial.candidate for trial in trials])
    seconds = np.array([(trial.preparation, trial.epoch) for trial in trials])
    coefficients = model.fit(timed, seconds)
    courses = [_course(played, s, done) for s in played.by_guess.values()]
    spent = [(course.amounts * coefficients).sum((2, 3)) for course in courses]
    expected, blocks = courses[0], played.config.reward.full_blocks
    in_full = _seconds_in_full(played, coefficients)
    low, high = model.relative_interval(timed, seconds, expected.amounts.sum((0, 1)))
    lag = search.lag if search.order == "slot" else len(spent[0])
    simulated = len(played.expected.batches) * search.batch
    by_workers = {}
    for count in workers:
        rounds = in_full / min(count, blocks)
        ends = [makespan(grid, count, lag) + rounds for grid in spent]
        span = Span(ends[0], min(ends) * low, max(ends) * high)
        by_workers[count] = _beside_others(span, count, measured.start)
    return Forecast(
        candidates=expected.left.size,
        statuses=Counter(expected.statuses[expected.left].tolist()),
        trainings=int((expected.epochs > 0).sum()),
        epochs=int(expected.epochs.sum()),
        work=float(spent[0].sum()) + in_full,
        by_workers=by_workers,
        memory=measured.memory + _unseen_activations(played, timed),
        journal=played.expected.journal_bytes * expected.left.size // simulated,
    )


def _seconds_in_full(played: Played, coefficients: Floats) -> float:
    """Return the seconds of the trainings from which a search learns its reward."""
    reward = played.config.reward
    if reward.kind != "learned":
        return 0.0
    drawn = [x.candidate for b in played.expected.batches for x in b if x.epochs]
    if not drawn:
        return 0.0
    prepared, epoch = _features(played, drawn).mean(axis=0) @ coefficients
    return float(reward.full_blocks * (prepared + reward.full_epochs * epoch))


def _beside_others(span: Span, count: int, start: float) -> Span:
    """Add the start, and what workers take from each other."""
    slower = (BESIDE_OTHERS, _AT_LEAST, _AT_MOST) if count > 1 else (1.0, 1.0, 1.0)
    return Span(*(start + a * b for a, b in zip(span, slower, strict=True)))


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
    epochs: NDArray[np.int64]
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


def _unseen_activations(played: Played, timed: Floats) -> int:
    """Count the bytes that the largest candidate keeps beyond the largest timed."""
    drawn = [x.candidate for b in played.expected.batches for x in b if x.epochs]
    excess = _features(played, drawn)[:, 2].max() - timed[:, 2].max()
    kept = cost.Cost(0, 0, max(0, int(excess)))
    train = played.config.train
    return cost.activation_bytes(kept, train.batch, train.dtype)

"""Calibrate: blocks of a search trained in full, and what foretells their accuracy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bqnn.config import RewardConfig
from bqnn.errors import SearchError
from bqnn.evaluation.records import Evaluation, Status
from bqnn.final.file_schemas import block
from bqnn.final.selection import Trained
from bqnn.final.workdir import WorkdirError, read_json, write_json
from bqnn.schema import fields, integer, listed, number
from bqnn.search import calibration, journal
from bqnn.search.calibration import FITTED, TERMS, Fit, Floats, values_of
from bqnn.search.events import Evaluated
from bqnn.search.problem import Problem, make_problem
from bqnn.search.reward import last_accuracy, make_reward
from bqnn.search.settled import evaluated, ranking
from bqnn.space.nsc import Block
from bqnn.stats import Correlation, correlation

CHOSEN = "chosen.json"


class Searched(NamedTuple):
    """A search, to be calibrated.

    Attributes:
      folder: its work directory.
      problem: its configuration.
      events: the settled evaluations.
    """

    folder: Path
    problem: Problem
    events: tuple[Evaluated, ...]


def read_search(folder: Path) -> Searched:
    """Read the evaluations of a search, which may still be running.

    Raises:
      JournalError: if there is no search.
    """
    with journal.open_readonly(folder) as facts:
        run, history = facts.run(), facts.history()
    problem = make_problem(run.config, run.images)
    return Searched(folder, problem, tuple(evaluated(problem, history)))


def choose(search: Searched, count: int, workdir: Path) -> tuple[Evaluated, ...]:
    """Choose blocks to be trained in full by `calibration.to_train`.

    The choice is kept in `chosen.json`: a search that goes on would change it.

    Args:
      search: the search.
      count: number of blocks.
      workdir: of the calibration.

    Raises:
      SearchError: if the search has fewer blocks.
      WorkdirError: if another choice was kept, or it cannot be read or written.
    """
    path = workdir / CHOSEN
    try:
        kept = read_json(path, _CHOSEN)["blocks"]
    except FileNotFoundError:
        chosen = _choice(search, count)
        codes = [str(event.candidate.block) for event in chosen]
        write_json(path, {"format": 1, "blocks": codes})
        return chosen
    if len(kept) != count:
        raise WorkdirError(
            f"{workdir} was begun with --blocks={len(kept)}: want the same, or another "
            "--workdir"
        )
    return tuple(_find(search, code, path) for code in kept)


def read_trained(search: Searched, path: Path) -> list[Trained]:
    """Read the blocks that `launch.train --top` has trained.

    Args:
      search: the search that they come from.
      path: of `selection.json`.

    Raises:
      WorkdirError: if it cannot be read, or a block is not of the search.
    """
    try:
        rows = read_json(path, _SELECTION)["blocks"]
    except FileNotFoundError:
        raise WorkdirError(
            f"{path} is not there: `launch.train --top` writes it at its end"
        ) from None
    return [
        Trained(
            row["rank"],
            _find(search, row["block"], path),
            Evaluation(Status.OK, accuracy=(row["accuracy"],)),
        )
        for row in rows
        if row["accuracy"] is not None
    ]


class TermRow(NamedTuple):
    """What a term tells of final accuracy, beside those of the fit.

    Attributes:
      name: of the term.
      fitted: whether it is one of the fit.
      effect: of one standard deviation of the term on final accuracy.
      low, high: ends of its 95 % interval.
      error, error_without: of foretelling with it, and without it: root mean square
        over blocks, each foretold by a fit to the others.
    """

    name: str
    fitted: bool
    effect: float
    low: float
    high: float
    error: float
    error_without: float


class Calibration(NamedTuple):
    """What foretells the final accuracy of N blocks.

    Attributes:
      trained: the blocks, by final accuracy, worst first.
      final: their final accuracies, float64 `[N]`.
      measures: `accuracy`, `paper` and `learned` reward of each, float64 `[N]`; the
        learned one by a fit to the others.
      correlations: rank correlation of each measure with final accuracy.
      terms: what each term tells.
      fit: to all blocks.
    """

    trained: tuple[Trained, ...]
    final: Floats
    measures: dict[str, Floats]
    correlations: dict[str, Correlation]
    terms: tuple[TermRow, ...]
    fit: Fit


def calibrate(problem: Problem, trained: Sequence[Trained]) -> Calibration:
    """Fit final accuracy, and measure what foretells it.

    Args:
      problem: of the search.
      trained: its blocks; those without a final accuracy are left out.

    Raises:
      SearchError: if too few have one, or all have the same.
    """
    ended = [t for t in trained if t.accuracy is not None]
    ended.sort(key=lambda t: (t.accuracy or 0.0, -t.rank))
    events, final = [t.found for t in ended], np.array([t.accuracy for t in ended])
    _check(final)
    reward = make_reward(RewardConfig(), problem.config.network, problem.images)
    values = _columns(events, FITTED)
    measures = {
        "accuracy": values[:, FITTED.index("accuracy")],
        "paper": np.array([reward(e.candidate, e.evaluation) for e in events]),
        "learned": calibration.leave_one_out(FITTED, values, final),
    }
    return Calibration(
        trained=tuple(ended),
        final=final,
        measures=measures,
        correlations={
            name: correlation(found.tolist(), final.tolist())
            for name, found in measures.items()
        },
        terms=tuple(_term_row(name, events, final) for name in TERMS),
        fit=calibration.fit(FITTED, values, final),
    )


def to_json(found: Calibration) -> dict[str, Any]:
    """Convert to values that JSON can hold: the fit, and what it comes from."""
    blocks = [
        {
            "block": str(trained.found.candidate.block),
            "final": accuracy,
            **{name: values[index] for name, values in found.measures.items()},
        }
        for index, (trained, accuracy) in enumerate(
            zip(found.trained, found.final.tolist(), strict=True)
        )
    ]
    return {
        **calibration.to_json(found.fit),
        "correlations": {n: c._asdict() for n, c in found.correlations.items()},
        "help": [row._asdict() for row in found.terms],
        "trained": blocks,
    }


def _check(final: Floats) -> None:
    least = calibration.LEAST + 1  # each is foretold by the others
    if len(final) < least:
        raise SearchError(
            f"{len(final)} blocks were trained in full: want {least} or more"
        )
    if final.min() == final.max():
        raise SearchError(
            f"{len(final)} blocks all have the same accuracy, {final[0]:.2%}, after "
            "full training: there is nothing to learn"
        )


def _choice(search: Searched, count: int) -> tuple[Evaluated, ...]:
    blocks = ranking(search.events)
    if len(blocks) < count:
        raise SearchError(
            f"{search.folder}: {count} blocks were asked for, but only {len(blocks)} "
            "different blocks were trained"
        )
    accuracy, size = _columns(blocks, ("accuracy", "log_params")).T
    return tuple(blocks[i] for i in calibration.to_train(accuracy, size, count))


def _term_row(name: str, events: Sequence[Evaluated], final: Floats) -> TermRow:
    fitted = name in FITTED
    larger = FITTED if fitted else (*FITTED, name)
    smaller = tuple(term for term in larger if term != name)
    whole = _columns(events, larger)
    errors = (_error(terms, events, final) for terms in (larger, smaller))
    found, index = calibration.fit(larger, whole, final), larger.index(name)
    ends = (side[index] for side in (found.weights, found.low, found.high))
    effect, low, high = (float(whole[:, index].std()) * end for end in ends)
    return TermRow(name, fitted, effect, low, high, *errors)


def _error(terms: Sequence[str], events: Sequence[Evaluated], final: Floats) -> float:
    foretold = calibration.leave_one_out(terms, _columns(events, terms), final)
    return float(np.sqrt(np.mean((foretold - final) ** 2)))


def _columns(events: Sequence[Evaluated], terms: Sequence[str]) -> Floats:
    """Compute terms of blocks, float64 `[N, D]`."""
    rows = [values_of(terms, event.candidate, event.evaluation) for event in events]
    return np.array(rows, np.float64)


def _find(search: Searched, wanted: Block, path: Path) -> Evaluated:
    for event in search.events:
        if event.candidate.block == wanted and last_accuracy(*event[:2]) is not None:
            return event
    raise WorkdirError(f"{path}: {search.folder} has no early accuracy of {wanted}")


def _accuracy(value: Any) -> float | None:
    return None if value is None else number(0, 1)(value)


_CHOSEN = fields({"format": integer(1, 1), "blocks": listed(block, "blocks", 1, 10**4)})
_SELECTION = fields(
    {
        "blocks": listed(
            fields({"rank": integer(1, 10**6), "block": block, "accuracy": _accuracy}),
            "blocks",
        )
    }
)

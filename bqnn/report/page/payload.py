"""Searches as what the page's scripts read: plain values, ready for JSON."""

import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn.config import dictionary as config_dict
from bqnn.report.draw import COLOURS
from bqnn.report.mind import Mind
from bqnn.report.record import Record, read
from bqnn.report.rows import Row, front
from bqnn.report.series import Point, series
from bqnn.report.spent import Failure, Span, failures, phases, spans
from bqnn.search import journal
from bqnn.search import summary as summary_lib
from bqnn.search.fold import evaluated
from bqnn.search.history import History, Run
from bqnn.search.problem import Problem
from bqnn.search.summary import Summary
from bqnn.space.nsc import LayerType

Json = dict[str, Any]
_DIGITS = 6
_FINALS = {"digits": "digits_final", "imagenet": "imagenet_final"}


class Source:
    """A search to report on; reads its journal again whenever asked.

    Attributes:
      workdir: its work directory, as the user wrote it.
    """

    def __init__(self, workdir: Path) -> None:
        """Read nothing yet."""
        self.workdir = workdir
        self._record: Record | None = None
        self._mind: Mind | None = None

    def read(self) -> Json:
        """Read the journal, and tell the agent what is new in it.

        Raises:
          JournalError: if there is no journal, or it cannot be read.
        """
        record = self._record = read(self.workdir, self._record)
        if record is None:
            return {"name": str(self.workdir), "began": False}
        self._mind = self._mind or Mind(record.problem)
        self._mind.follow(record.history)
        return _search(self.workdir, record, self._mind)

    def signature(self) -> tuple[tuple[int, int], ...]:
        """Return what changes whenever somebody writes to the journal."""
        path = self.workdir / journal.FILE_NAME
        files = (path, path.with_name(path.name + "-wal"))
        stats = [file.stat() for file in files if file.exists()]
        return tuple((stat.st_size, stat.st_mtime_ns) for stat in stats)


def payload(searches: Sequence[Json], refresh: float = 0.0) -> Json:
    """Put together all that the page shows.

    Args:
      searches: what `Source.read` returned.
      refresh: after how many seconds the page loads itself again; 0 for never.
    """
    types = {int(k): {"title": k.title, "colour": COLOURS[k]} for k in COLOURS}
    return {
        "searches": list(searches),
        "types": types,
        "written": time.time(),
        "refresh": refresh,
    }


def to_json(value: Json) -> str:
    """Write the payload as JSON, as short as can be."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _search(workdir: Path, record: Record, mind: Mind) -> Json:
    run, search, history, times = record
    found, summary = record.rows(), _summary(search, history)
    by_place = {(row.iteration, row.slot): i for i, row in enumerate(found)}
    best = [by_place[event.candidate.id] for event in summary.best]
    return {
        "name": str(workdir),
        "began": True,
        "agent": run.config.agent.name,
        "seed": run.config.search.seed,
        "told": len(history.tells),
        "iterations": search.iterations,
        "total": summary.total,
        "complete": len(history.tells) == search.iterations,
        "digest": history.tells[-1].digest if history.tells else "",
        "best": [place for place in best if found[place].accuracy is not None],
        "rows": _columns(Row, found),
        "series": _columns(Point, series(history, found)),
        "fronts": {cost: front(found, cost) for cost in ("flops", "params")},
        "mind": _mind(mind),
        "phases": _rounded(phases(history)),
        "spans": _columns(Span, spans(history, times)),
        "failures": [Failure(*failure)._asdict() for failure in failures(history)],
        "commands": _commands(workdir, run),
        "config": dict(_flat(config_dict.to_dict(run.config))),
        "images": run.images._asdict(),
        "versions": run.versions,
        "fingerprint": run.fingerprint,
    }


def _summary(search: Problem, history: History) -> Summary:
    summary = Summary(search.iterations, search.config.search.batch)
    for event in evaluated(search, history):
        summary = summary_lib.update(summary, event)
    return summary


def _columns(kind: type[NamedTuple], values: Sequence[Any]) -> Json:
    """Turn rows of named fields into a list per field: JSON without the names."""
    names: tuple[str, ...] = kind._fields
    return {name: [_rounded(getattr(v, name)) for v in values] for name in names}


def _mind(mind: Mind) -> Json | None:
    """Turn what the agent thought into nested lists; None if it has no Q-values."""
    if not mind.has_q_values:
        return None
    return {
        "differs": mind.differs,
        "types": [kind.title for kind in LayerType],
        "values": [_nested(thought.values) for thought in mind.thoughts],
        "visits": [thought.visits.tolist() for thought in mind.thoughts],
        "greedy": [str(thought.greedy) for thought in mind.thoughts],
    }


def _nested(values: NDArray[np.float64]) -> list[list[float | None]]:
    return [
        [None if np.isnan(v) else round(float(v), _DIGITS) for v in row]
        for row in values
    ]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value


def _commands(workdir: Path, run: Run) -> dict[str, str]:
    """Write the commands that train a block of the search, and that replay it."""
    where, data = shlex.quote(str(workdir)), run.config.data
    final = shlex.quote(f"{str(workdir).rstrip('/')}-final")
    train = (
        f"python -m launch.train --search={where} --rank=1 --workdir={final} "
        f"--config={_FINALS.get(data.name, 'cifar_final')}"
    )
    if data.name not in _FINALS:
        train += f" --config.data.name={shlex.quote(data.name)}"
    if data.data_dir:
        train += f" --config.data.data_dir={shlex.quote(data.data_dir)}"
    return {"train": train, "replay": f"python -m launch.replay --workdir={where}"}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """List the fields of nested sections as `section.field`."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value

"""Payload of the report's page: searches as plain values, ready for JSON."""

import json
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn.config import Config, dictionary
from bqnn.config.network import WIRINGS
from bqnn.errors import printable
from bqnn.layer_types import TYPES
from bqnn.report.layout import GRID, columns, layout
from bqnn.report.next_command import training_flags
from bqnn.report.palette import LINES
from bqnn.report.progress import reward_line
from bqnn.report.q_history import QHistory
from bqnn.report.record import Record, read, summarize
from bqnn.report.rows import EvaluationRow, front
from bqnn.report.series import IterationStats, hypervolumes, series
from bqnn.report.timing import Failure, Span, failures, phases, spans
from bqnn.search import journal
from bqnn.search.costs import names_of
from bqnn.search.history import History, Run
from bqnn.search.problem import Problem
from bqnn.space.nsc import Block

Json = dict[str, Any]
_DIGITS = 6
_COSTS = {"flops": "FLOPs of the block", "params": "parameters of the network"}
_COSTS_OF_NETWORK = {"network_flops": "FLOPs of the network"} | {
    "params": _COSTS["params"]
}
_LATENCY = {"latency": "latency of the network, ns"}
"""Fields of a row that accuracy is drawn against, and their names; for a front, what
`reward.cost` may weigh."""


class Source:
    """A search to report on. What it derived from the journal is kept between reads.

    Attributes:
      workdir: its work directory, as the user wrote it.
    """

    def __init__(
        self,
        workdir: Path,
        command: Callable[[str], str] = "python -m launch.{}".format,
    ) -> None:
        """Read nothing yet.

        Args:
          workdir: of the search.
          command: writes how the user starts a program, such as `train`.
        """
        self.workdir = workdir
        self._command = command
        self._record: Record | None = None
        self._q_history: QHistory | None = None
        self._columns: dict[str, list[int]] = {}

    def read(self) -> Json:
        """Read the journal, and tell the agent the batches that are new in it.

        Raises:
          JournalError: if there is no journal, or it cannot be read.
        """
        record = self._record = read(self.workdir, self._record)
        if record is None:
            return {"name": str(self.workdir), "began": False}
        self._q_history = self._q_history or QHistory(record.problem)
        self._q_history.follow(record.history)
        asked = [c for ask in record.history.asks for c in ask.candidates]
        greedy = [snapshot.greedy for snapshot in self._q_history.snapshots]
        self._lay_out([*(c.block for c in asked), *greedy])
        search = _search(self.workdir, record, self._q_history)
        search["commands"] = self._commands(record.run, len(search["best"]))
        shown = [*search["rows"]["block"], *map(str, greedy)]
        return search | {"columns": [self._columns[block] for block in shown]}

    def _lay_out(self, blocks: Sequence[Block]) -> None:
        """Lay out the blocks that are new: the page only draws them."""
        for block in blocks:
            if str(block) not in self._columns:
                self._columns[str(block)] = columns(layout(block))

    def signature(self) -> tuple[tuple[int, int], ...]:
        """Return sizes and times that change whenever the journal is written to."""
        path = self.workdir / journal.FILE_NAME
        files = (path, path.with_name(path.name + "-wal"))
        stats = [file.stat() for file in files if file.exists()]
        return tuple((stat.st_size, stat.st_mtime_ns) for stat in stats)

    def _commands(self, run: Run, top: int) -> dict[str, str]:
        """Write the commands that train the `top` best, or the front, and replay."""
        best = top if run.config.agent.goal == "reward" else None
        train = shlex.join(training_flags(self.workdir, best, run.config))
        replay = shlex.join([f"--workdir={self.workdir}"])
        return {
            "train": f"{self._command('train')} {train}",
            "replay": f"{self._command('replay')} {replay}",
        }


def payload(searches: Sequence[Json], refresh: float = 0.0) -> Json:
    """Put together the data of a page.

    Args:
      searches: as `Source.read` returns them.
      refresh: seconds after which the page loads itself again; 0 for never.
    """
    types = {
        code: {"title": x.title, "colour": x.colour, "reads": x.num_predecessors}
        for code, x in TYPES.items()
    }
    return {
        "searches": list(searches),
        "types": types,
        "wirings": WIRINGS,
        "lines": LINES,
        "grid": GRID,
        "written": time.time(),
        "refresh": refresh,
    }


def to_json(value: Json) -> str:
    """Write the payload as JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _search(workdir: Path, record: Record, q_history: QHistory) -> Json:
    run, problem, history, times = record
    rows, summary = record.rows(), summarize(problem, history)
    row_of = {(row.iteration, row.slot): i for i, row in enumerate(rows)}
    best = [row_of[event.candidate.id] for event in summary.best]
    has_front = run.config.agent.goal == "front"
    has_latency = run.config.budget.latency_table is not None
    costs = _COSTS_OF_NETWORK if has_front else _COSTS
    costs = {**costs, **(_LATENCY if has_latency else {})}
    return {
        "name": str(workdir),
        "began": True,
        "agent": run.config.agent.name,
        "seed": run.config.search.seed,
        "told": summary.told,
        "iterations": summary.iterations,
        "total": summary.total,
        "complete": summary.complete,
        "digest": summary.digest,
        "best": [index for index in best if rows[index].accuracy is not None],
        "rows": _by_field(EvaluationRow, rows),
        "series": _by_field(IterationStats, series(history, rows)),
        "costs": costs,
        "fronts": {cost: front(rows, cost) for cost in costs},
        "front": _front(run.config, rows),
        "q_history": _q_history(q_history, problem),
        "phases": _rounded(phases(history)),
        "spans": _by_field(Span, spans(history, times)),
        "failures": [Failure(*failure)._asdict() for failure in failures(history)],
        "notes": _notes(history),
        "config": dict(_flat(dictionary.to_dict(run.config))),
        "images": run.images._asdict(),
        "versions": run.versions,
        "fingerprint": run.fingerprint,
    }


def _front(config: Config, rows: Sequence[EvaluationRow]) -> Json | None:
    """Name the costs of a search for a front, list it, and follow its hypervolume."""
    if config.agent.goal != "front":
        return None
    fields = {"flops": "network_flops"}
    costs = [fields.get(name, name) for name in names_of(config)]
    areas = [_rounded(area) for area in hypervolumes(rows, *costs)]
    return {"costs": costs, "found": front(rows, *costs), "hypervolume": areas}


def _notes(history: History) -> list[str]:
    """Say what the search began with, and how it learnt its reward."""
    learnt = Counter(printable(result.workdir) for result in history.given.learnt)
    notes = [
        f"Before its first batch the agent was told {count} results of {name}."
        for name, count in learnt.items()
    ]
    if history.given.first:
        notes.append(f"Blocks given to be tried first: {len(history.given.first)}.")
    for this in history.rounds:
        line = f"After {this.told} batches, {len(this.candidates)} blocks in full"
        notes.append(f"{line}: {reward_line(this.fit)}." if this.fit else f"{line}.")
    return notes


def _by_field(kind: type[NamedTuple], values: Sequence[Any]) -> Json:
    """Turn rows of named fields into a list per field: JSON without the names."""
    names: tuple[str, ...] = kind._fields
    return {name: [_rounded(getattr(v, name)) for v in values] for name in names}


def _q_history(q_history: QHistory, problem: Problem) -> Json | None:
    """Turn Q-values into nested lists; None if the agent has none."""
    if not q_history.has_q_values:
        return None
    snapshots = q_history.snapshots
    return {
        "differs": q_history.differs,
        "first": 1 - problem.space.first,
        "types": [kind.title for kind in problem.space.types],
        "values": [_nested(snapshot.values) for snapshot in snapshots],
        "visits": [snapshot.visits.tolist() for snapshot in snapshots],
        "greedy": [str(snapshot.greedy) for snapshot in snapshots],
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


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """List the fields of nested sections as `section.field`."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value

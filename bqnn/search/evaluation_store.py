"""Evaluation store: trainings that several searches share, so that none is repeated.

A result is taken where all that decides it is equal: the canonical hash of the block,
the seed of the training, network, recipe, images, versions and device. Kept is what
follows from these alone: `ok` and `diverged`. Budgets, time-outs, memory and failures
belong to a search and its machine.

As within a search, blocks of one canonical hash share the result of the one that was
trained first.
"""

import contextlib
import dataclasses
import json
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

from bqnn.config import Config, NetworkConfig
from bqnn.errors import quote
from bqnn.evaluation.recipe import over_budget
from bqnn.evaluation.records import Candidate, Evaluation, Status, missed, repeated
from bqnn.schema import TEXT, FactError, read_at, text
from bqnn.search import facts, sqlite
from bqnn.search.history import Run

FILE_NAME = "evaluations.sqlite"

_VERSION = 1
_SCHEMA = Path(__file__).with_suffix(".sql")
_KIND = sqlite.Kind(
    "store of evaluations",
    "remove it, or use another directory",
    application_id=int.from_bytes(b"bqnn", "big"),
)
_KEPT = (Status.OK, Status.DIVERGED)
_STATUS = text("|".join(_KEPT), " or ".join(_KEPT))
_COLUMNS = {
    **facts.COLUMNS["evaluations"],
    "status": lambda value: Status(_STATUS(value)),
    "source": TEXT,
}
_READ = ("status", "accuracy", "restarts", "device", "error", "source")


class Store(Protocol):
    """Results of other searches, as a search sees them."""

    def find(self, candidate: Candidate, devices: Collection[str]) -> Evaluation | None:
        """Find the result of the same training, with its source.

        Args:
          candidate: to be trained.
          devices: of the workers that could train it, as `Evaluation.device` says.
        """

    def add(self, candidate: Candidate, evaluation: Evaluation) -> None:
        """Keep a result that the journal has recorded, if it is one to keep."""


class NoStore:
    """Finds nothing, and keeps nothing."""

    def find(self, candidate: Candidate, devices: Collection[str]) -> None:
        """Find nothing."""

    def add(self, candidate: Candidate, evaluation: Evaluation) -> None:
        """Keep nothing."""


class EvaluationStore:
    """A file of evaluations; several processes of one machine may use it at once."""

    def __init__(self, directory: Path, run: Run, workdir: Path) -> None:
        """Open the store of a directory, creating both if need be.

        Args:
          directory: of the file.
          run: the search, and the versions that it trains with now.
          workdir: of the search; the source of what it adds.

        Raises:
          JournalError: if the file is damaged, or is no store.
        """
        self._path = directory / FILE_NAME
        schema = _SCHEMA.read_text(encoding="utf-8")
        self._connection = sqlite.open_shared(self._path, schema, _VERSION, _KIND)
        self._config, self._images = run.config, run.images
        self._setting, self._workdir = _setting(run), workdir.absolute()

    def __enter__(self) -> "EvaluationStore":
        """Return the store itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._connection.close()

    def find(self, candidate: Candidate, devices: Collection[str]) -> Evaluation | None:
        """Find the result of the same training, as `Store` says.

        Raises:
          JournalError: if the file cannot be read, or holds what makes no sense.
        """
        statement = (
            f"SELECT {', '.join(_READ)} FROM evaluations "
            "WHERE hash = ? AND seed = ? AND setting = ? AND device = ?"
        )
        with sqlite.errors(self._path, _KIND):
            for device in sorted(devices):
                key = self._key(candidate, device)
                row = self._connection.execute(statement, key).fetchone()
                if row and not over_budget(
                    candidate.block, candidate.latency, self._config, self._images
                ):
                    found = _read(candidate, row, self._config)
                    return _stopped(candidate, found)
        return None

    def add(self, candidate: Candidate, evaluation: Evaluation) -> None:
        """Keep a result, as `Store` says; of equal trainings, the first one stays.

        Raises:
          JournalError: if the file cannot be written.
        """
        if evaluation.status not in _KEPT or not evaluation.device:
            return
        iteration, slot = candidate.id
        values = (
            *self._key(candidate, evaluation.device),
            evaluation.status.value,
            json.dumps(evaluation.accuracy),
            evaluation.restarts,
            facts.storable(evaluation.error),
            facts.storable(f"{self._workdir}, batch {iteration}, slot {slot}"),
            time.time(),
        )
        marks = ", ".join("?" * len(values))
        with sqlite.errors(self._path, _KIND), self._connection:
            self._connection.execute(
                f"INSERT OR IGNORE INTO evaluations VALUES ({marks})", values
            )

    def _key(self, candidate: Candidate, device: str) -> tuple[Any, ...]:
        return candidate.hash, candidate.seed, self._setting, facts.storable(device)


def open_store(
    directory: Path | None, run: Run, workdir: Path
) -> contextlib.AbstractContextManager[Store]:
    """Open the store of a directory, as `EvaluationStore` does; none without one."""
    if directory is None:
        return contextlib.nullcontext(NoStore())
    return EvaluationStore(directory, run, workdir)


def _setting(run: Run) -> str:
    """Write what decides a training, besides block, seed and device, as JSON."""
    train = dataclasses.asdict(run.config.train)
    del train["seed"]  # a candidate has its own, made from it
    # Of a whole training every part is known, and the first of several is kept.
    del train["rungs"], train["eta"], train["repeats"]
    network = dataclasses.asdict(run.config.network)
    # What was trained before there were these fields is still found.
    default = dataclasses.asdict(NetworkConfig())
    for name in ("separable_repeats", "wiring", "fit_params", "fit_flops"):
        if network[name] == default[name]:
            del network[name]
    return json.dumps(
        {
            "network": network,
            "train": train,
            "images": run.images._asdict(),
            "fingerprint": run.fingerprint,
            "versions": run.versions,
        },
        sort_keys=True,
    )


def _read(candidate: Candidate, row: tuple[Any, ...], config: Config) -> Evaluation:
    """Check a row, which others may have written, and turn it into an evaluation.

    Raises:
      FactError: names the column.
    """
    where = f"table evaluations, row hash {quote(candidate.hash)}"
    values = {
        name: read_at(f"{where}, column {name}", _COLUMNS[name], value)
        for name, value in zip(_READ, row, strict=True)
    }
    found, epochs = Evaluation(**values), candidate.epochs or config.train.epochs
    complete = len(found.accuracy) == epochs
    if complete != (found.status == Status.OK) or len(found.accuracy) > epochs:
        raise FactError(
            f"{where}: it is {found.status} after {len(found.accuracy)} epochs: "
            f"want {epochs} if it is ok, and fewer if not"
        )
    return found


def _stopped(candidate: Candidate, whole: Evaluation) -> Evaluation | None:
    """Take as much of a training as the candidate would have been trained.

    Returns:
      None if that is more: of several trainings only the first is kept.
    """
    rung = missed(candidate.rungs, whole.accuracy)
    if rung is None:
        again = whole.status == Status.OK and repeated(candidate, whole.accuracy)
        return None if again else whole
    accuracy = whole.accuracy[: rung.epoch]
    return dataclasses.replace(whole, status=Status.STOPPED, accuracy=accuracy)

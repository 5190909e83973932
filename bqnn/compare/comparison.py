"""Comparison: every agent within every budget, with the same seeds, kept on disk."""

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bqnn import files
from bqnn.compare.contenders import Contender
from bqnn.compare.statistics import Searches
from bqnn.data.arrays import read_npz
from bqnn.errors import DataError

if TYPE_CHECKING:  # jax, which is slow to import
    from bqnn.compare.evaluators import Evaluator

# Arrays of a stored file, in the order of the fields of `Searches`.
_ARRAYS = ("rewards", "reported", "trained", "seconds", "log_costs")


class Entry(NamedTuple):
    """All searches by one agent within one budget."""

    contender: Contender
    budget: int
    searches: Searches


class SeedsDone(NamedTuple):
    """How many seeds of an entry are done."""

    contender: Contender
    budget: int
    done: int


class Store:
    """A directory of finished searches: a comparison goes on where it stopped.

    A file is named by a hash of all that its searches depend on.
    """

    def __init__(self, folder: Path, setting: str) -> None:
        """Open the directory, or make it.

        Args:
          folder: the directory.
          setting: all that the searches depend on besides agent, budget and seeds.

        Raises:
          DataError: if it cannot be made.
        """
        self._folder, self._setting = folder, setting
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder}: {error.strerror}") from error

    def load(self, contender: Contender, budget: int, seeds: int) -> Searches | None:
        """Return stored searches, None if there are none.

        Raises:
          DataError: if the file is damaged.
        """
        path = self._path(contender, budget, seeds)
        if not path.exists():
            return None
        try:
            searches = Searches(*read_npz(path, _ARRAYS))
        except DataError as error:
            raise DataError(f"{path} is damaged: delete it, and run again") from error
        if {array.shape for array in searches} != {(seeds, budget)}:
            raise DataError(f"{path} is damaged: delete it, and run again")
        return searches

    def save(self, contender: Contender, budget: int, searches: Searches) -> None:
        """Store searches.

        Raises:
          DataError: if they cannot be written.
        """
        path = self._path(contender, budget, len(searches.rewards))
        packed = io.BytesIO()
        arrays = dict(zip(_ARRAYS, searches, strict=True))
        np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
        try:
            files.write_atomic(path, packed.getvalue())
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from error

    def _path(self, contender: Contender, budget: int, seeds: int) -> Path:
        agent = dataclasses.asdict(contender.agent)
        facts = [_ARRAYS, self._setting, agent, contender.batch, budget, seeds]
        sha = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        return self._folder / f"{contender.agent.name}-{budget}-{sha[:16]}.npz"


def compare(
    contenders: Sequence[Contender],
    budgets: Sequence[int],
    seeds: int,
    evaluator: "Evaluator",
    store: Store,
) -> Iterator[SeedsDone | Entry]:
    """Let every agent search within every budget, with the same seeds.

    Args:
      contenders: the agents.
      budgets: evaluations of a search.
      seeds: searches of an agent within a budget.
      evaluator: gives the rewards.
      store: keeps finished searches.

    Yields:
      How many seeds are done, and each entry when it is complete.
    """
    for budget in budgets:
        for contender in contenders:
            searches = store.load(contender, budget, seeds)
            if searches is None:
                parts: list[Searches] = []
                for part in evaluator.run(contender, budget, seeds):
                    parts.append(part)
                    done = sum(len(some.rewards) for some in parts)
                    yield SeedsDone(contender, budget, done)
                searches = Searches(*map(np.concatenate, zip(*parts, strict=True)))
                store.save(contender, budget, searches)
            yield Entry(contender, budget, searches)

"""Searches that are done, kept on disk: a comparison goes on where it stopped."""

import dataclasses
import hashlib
import io
import json
from pathlib import Path

import numpy as np

from bqnn import files
from bqnn.compare.contenders import Contender
from bqnn.compare.statistics import Runs
from bqnn.data.arrays import read_npz
from bqnn.errors import DataError


class Store:
    """A directory of arrays, named by what they depend on."""

    def __init__(self, folder: Path, setting: str) -> None:
        """Open the directory.

        Args:
          folder: is made if it is missing.
          setting: all that the searches depend on besides agent, budget and seeds.

        Raises:
          DataError: if it cannot be made.
        """
        self._folder, self._setting = folder, setting
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder}: {error.strerror}") from error

    def load(self, contender: Contender, budget: int, seeds: int) -> Runs | None:
        """Return searches that are done, None if they are not.

        Raises:
          DataError: if the file is damaged.
        """
        path = self._path(contender, budget, seeds)
        if not path.exists():
            return None
        try:
            runs = Runs(*read_npz(path, Runs._fields))
        except DataError as error:
            raise DataError(f"{path} is damaged: delete it, and run again") from error
        if {array.shape for array in runs} != {(seeds, budget)}:
            raise DataError(f"{path} is damaged: delete it, and run again")
        return runs

    def save(self, contender: Contender, budget: int, runs: Runs) -> None:
        """Keep searches; a file is whole or not there.

        Raises:
          DataError: if it cannot be written.
        """
        path = self._path(contender, budget, len(runs.rewards))
        packed = io.BytesIO()
        np.savez_compressed(packed, **runs._asdict())
        try:
            files.write_atomic(path, packed.getvalue())
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from error

    def _path(self, contender: Contender, budget: int, seeds: int) -> Path:
        agent = dataclasses.asdict(contender.agent)
        facts = [self._setting, agent, contender.batch, budget, seeds]
        sha = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        return self._folder / f"{contender.agent.name}-{budget}-{sha[:16]}.npz"

"""Task: a full training that a worker has to do."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bqnn.evaluation.records import CandidateId
from bqnn.final.config import FinalConfig


class Task(NamedTuple):
    """A full training to be done.

    Attributes:
      folder: its work directory.
      config: its configuration.
      test: whether to evaluate on the test split in the end. Blocks are chosen by
        validation accuracy: the test split is only for the block that is chosen.
    """

    folder: Path
    config: FinalConfig
    test: bool = False


Tasks = Mapping[CandidateId, Task]
"""The tasks of candidates."""

"""Next command: what the terminal and the page recommend after a search."""

import dataclasses
from pathlib import Path

from bqnn.config import DataConfig


def training_flags(workdir: Path, top: int, data: DataConfig) -> list[str]:
    """List the flags of `launch.train` that choose among the best, and test the winner.

    Args:
      workdir: of the search.
      top: how many of its best blocks to train in full.
      data: of the search; the same images.
    """
    recipe = "digits_final" if data.name == "digits" else "cifar_final"
    flags_of_data = {
        name: value
        for name, value in dataclasses.asdict(data).items()
        if name in ("name", "validation") or value != getattr(DataConfig(), name)
    }
    return [
        f"--search={workdir}",
        f"--top={top}",
        "--retrain",
        f"--workdir={workdir}_final",
        f"--config={recipe}",
        *(f"--config.data.{name}={value}" for name, value in flags_of_data.items()),
    ]

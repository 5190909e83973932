"""Classify image files with an exported network.

  python -m launch.predict --model=runs/final/export/flax image.png [more.png ...]

An image is turned to grey or RGB as the network wants it, its middle cut out in the
network's aspect, and resized (bilinear). Prints the likeliest classes of every file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags
from rich.table import Table

from bqnn.data.image_files import read_image
from bqnn.errors import ConfigError, DataError
from bqnn.report.foreign import foreign
from launch import cli

if TYPE_CHECKING:
    from bqnn.export.loaders import Predictor

_MODEL = flags.DEFINE_string("model", None, "Directory of an export.", required=True)
_TOP = flags.DEFINE_integer("top", 3, "Classes to print of every file.", lower_bound=1)


def main(paths: Sequence[str]) -> None:
    """Print a table of files and their likeliest classes."""
    from bqnn.export.loaders import load

    if not paths:
        raise ConfigError("no image file given: want --model=EXPORT_DIR image.png ...")
    predictor = load(Path(_MODEL.value))
    # One by one: what a file gets does not depend on the others.
    logits = [
        predictor.logits(_read(path, predictor.image_shape)[None])[0] for path in paths
    ]
    cli.console().print(_table(paths, logits, predictor))


def _read(path: str, shape: tuple[int, int, int]) -> np.ndarray:
    from bqnn.export.standalone import fit

    if shape[2] not in (1, 3):
        raise DataError(
            f"--model takes images of {shape[2]} channels: want one of 1 (grey) or 3"
        )
    return fit(read_image(path, "L" if shape[2] == 1 else "RGB"), shape)


def _table(
    paths: Sequence[str], logits: Sequence[np.ndarray], predictor: "Predictor"
) -> Table:
    table = Table()
    for name in ("file", "class"):
        table.add_column(name, overflow="fold")
    table.add_column("probability", justify="right")
    for path, row in zip(paths, logits, strict=True):
        probabilities = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        best = np.argsort(-row, kind="stable")[: _TOP.value]
        for rank, index in enumerate(best):
            table.add_row(
                foreign("" if rank else path),
                foreign(predictor.class_names[index]),
                f"{probabilities[index]:.1%}",
            )
        table.add_section()
    return table


if __name__ == "__main__":
    cli.run_on_files(main)

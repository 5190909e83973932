"""Train every block of a small space with several seeds, for `launch.compare`.

  python -m launch.oracle --config=rivals \
      --config.space.max_layers=3 --seeds=3 --out=oracle.csv

Run the same command again to go on after Ctrl-C, a crash or a kill.
Of --config, the agent, the reward and the order of a search have no part in it.
"""

import csv
import io
from collections.abc import Collection
from pathlib import Path

from absl import flags
from rich.progress import Progress

from bqnn import files
from bqnn.compare.csv_benchmarks import accuracy, read_rows
from bqnn.compare.oracle import canonical_blocks, train_blocks
from bqnn.config import Config
from bqnn.data import load
from bqnn.errors import DataError, quote
from bqnn.report.progress import track_start
from bqnn.space.nsc import Block
from launch import cli, config_flag
from launch.workers import make_executor

_CONFIG = config_flag.define("trainings")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Trainings of a block.", lower_bound=1)
_OUT = flags.DEFINE_string("out", None, "The table, as csv.", required=True)

_Row = tuple[str, ...]


def main() -> None:
    """Train what the table lacks, and sort it."""
    config, console = config_flag.config_of(_CONFIG, Config), cli.console()
    interrupted = cli.Interrupt()
    executor = make_executor(config, interrupted)
    path, dataset = Path(_OUT.value), load(config.data)
    blocks = canonical_blocks(config, dataset.spec)
    rows = _read(path, {str(block) for block in blocks})
    missing = [block for block in blocks if str(block) not in rows]
    results = train_blocks(missing, config, dataset.spec, _SEEDS.value, executor)
    try:
        for _ in track_start(console, executor.start(dataset)):
            pass
        with Progress(console=console) as bar:
            for block, accuracies in bar.track(
                results, len(blocks), len(rows), description="training"
            ):
                rows[str(block)] = _row(block, accuracies)
                # After every block: what was trained is never trained again.
                _write(path, [rows[str(b)] for b in blocks if str(b) in rows])
                if interrupted():
                    raise KeyboardInterrupt
    finally:
        executor.close()
    console.print(f"{path}: {len(blocks)} blocks, {_SEEDS.value} seeds each")


def _row(block: Block, accuracies: tuple[float, ...]) -> _Row:
    return (str(block), *(f"{accuracy:.6g}" for accuracy in accuracies))


def _header() -> _Row:
    return ("block", *(f"accuracy_{seed}" for seed in range(_SEEDS.value)))


def _read(path: Path, blocks: Collection[str]) -> dict[str, _Row]:
    """Read what an earlier run has trained; its rows are written again as they are."""
    if not path.exists():
        return {}
    rows = read_rows(path, "block")
    for text, row in rows.items():
        if tuple(row) != _header():
            raise DataError(f"{path} has other columns than {','.join(_header())}")
        if text not in blocks:
            raise DataError(f"{path} has {quote(text)}, which this space has not")
        for column in _header()[1:]:
            accuracy(path, row, column, 1)
    return {text: tuple(row.values()) for text, row in rows.items()}


def _write(path: Path, rows: list[_Row]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_header(), *rows])
    try:
        files.write_atomic(path, text.getvalue())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error


if __name__ == "__main__":
    cli.run(main)

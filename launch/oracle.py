"""Train every block of a small space with several seeds, for `launch.compare`.

  python -m launch.oracle --config=rivals \
      --config.space.max_layers=3 --seeds=3 --out=oracle.csv

Run the same command again to go on after Ctrl-C, a crash or a kill.
Blocks with few layers come first, those with equally many in a fixed random order.
Of --config, the agent, the reward and the order of a search have no part in it.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from rich.console import Console
from rich.progress import Progress

from bqnn.compare.oracle import canonical_blocks, timed_worker, train_blocks
from bqnn.compare.oracle_table import OracleTable, Row
from bqnn.config import Config
from bqnn.data import load
from bqnn.report.progress import track_start
from bqnn.space.nsc import Block
from launch import cli, config_flag
from launch.workers import make_executor

_CONFIG = config_flag.define("trainings")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Trainings of a block.", lower_bound=1)
_MOST = flags.DEFINE_integer(
    "most",
    None,
    "Train only the first so many blocks; 0 counts the blocks of the space.",
    lower_bound=0,
)
_OUT = flags.DEFINE_string("out", None, "The table, as csv.", required=True)


def main() -> None:
    """Train what the table lacks, and sort it."""
    config, console = config_flag.config_of(_CONFIG, Config), cli.console()
    blocks = canonical_blocks(config, load(config.data).spec)
    layers = Counter(map(len, blocks))
    counts = ", ".join(f"{count:,} of {n}" for n, count in layers.items())
    console.print(f"{len(blocks):,} blocks, by number of layers: {counts}")
    table = OracleTable(Path(_OUT.value), _SEEDS.value, config.train.epochs)
    rows = table.read({str(block) for block in blocks})
    missing = [b for b in blocks[: _MOST.value] if str(b) not in rows]
    if missing:
        _train(missing, config, table, rows, console)
        # Several workers do not end in order.
        table.write(rows[str(block)] for block in blocks if str(block) in rows)
    console.print(
        f"{_OUT.value}: {len(rows):,} of {len(blocks):,} blocks, "
        f"{_SEEDS.value} seeds each"
    )


def _train(
    missing: Sequence[Block],
    config: Config,
    table: OracleTable,
    rows: dict[str, Row],
    console: Console,
) -> None:
    """Train blocks, and add each to `table` and `rows` when it is done."""
    interrupted = cli.Interrupt()
    executor = make_executor(config, interrupted, timed_worker)
    dataset = load(config.data)
    results = train_blocks(missing, config, dataset.spec, _SEEDS.value, executor)
    try:
        for _ in track_start(console, executor.start(dataset)):
            pass
        with Progress(console=console) as bar:
            total = len(rows) + len(missing)
            for trained in bar.track(results, total, len(rows), description="training"):
                rows[str(trained.candidate.block)] = table.append(trained)
                if interrupted():
                    raise KeyboardInterrupt
    finally:
        executor.close()


if __name__ == "__main__":
    cli.run(main)

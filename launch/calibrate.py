r"""Learn what foretells final accuracy, from blocks of a search trained in full.

  python -m launch.calibrate --search=runs/first --workdir=runs/calibrated \
      --config=digits_final --config.data.validation=0.2
  python -m launch.calibrate --search=runs/first --workdir=runs/calibrated \
      --trained=runs/final

Blocks are spread over size, among the better half of the search by early accuracy, and
trained and measured as launch.train --top does; with --trained they are those that it
has trained. A fit foretells final accuracy from early accuracy and the number of
parameters; tables say how it ranks the blocks, beside the paper's reward and early
accuracy alone, and which terms help. calibration.json is for launch.rescore --weights,
figure6.png is the paper's figure 6. Run the same command again to go on.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from rich.console import Console

from bqnn.errors import ConfigError
from bqnn.final.config import FinalConfig
from launch import cli, config_flag, workers

if TYPE_CHECKING:  # imports jax
    from bqnn.final.selection import Trained

_CONFIG = config_flag.define("training", required=False)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the calibration.", required=True
)
_SEARCH = flags.DEFINE_string("search", None, "Directory of the search.", required=True)
_BLOCKS = flags.DEFINE_integer(
    "blocks", 12, "How many of its blocks to train in full.", lower_bound=4
)
_TRAINED = flags.DEFINE_string(
    "trained", None, "Directory of a finished launch.train --top of the same search."
)


def main() -> None:
    """Print what foretells final accuracy, and keep the weights."""
    if _TRAINED.value:
        cli.refuse(("config", "blocks"), "with --trained")
        workers.refuse("with --trained")
    elif _CONFIG.value is None:
        raise ConfigError("want --config=NAME to train by, or --trained=DIR")
    interrupted, console = cli.Interrupt(), cli.console()
    workdir, search = Path(_WORKDIR.value), Path(_SEARCH.value)
    trained = (
        _read(search, Path(_TRAINED.value))
        if _TRAINED.value
        else _train(search, workdir, console, interrupted)
    )
    _report(search, workdir, trained, console)


def _read(search: Path, folder: Path) -> list["Trained"]:
    from bqnn.final import calibrate

    found = calibrate.read_search(search)
    return calibrate.read_trained(found, folder / "selection.json")


def _train(
    search: Path, workdir: Path, console: Console, interrupted: cli.Interrupt
) -> list["Trained"]:
    from bqnn.data import load
    from bqnn.final import calibrate, selection
    from bqnn.final.worker import final_workers
    from bqnn.report.final_tables import trained_line
    from bqnn.report.progress import track_start

    config = config_flag.config_of(_CONFIG, FinalConfig)
    shared, trained = selection.worker_config(config), []
    found = calibrate.read_search(search)
    chosen = calibrate.choose(found, _BLOCKS.value, workdir)
    make_worker = final_workers(selection.rank_tasks(chosen, config, workdir))
    executor = workers.make_executor(shared, interrupted, make_worker)
    try:
        for _ in track_start(console, executor.start(load(shared.data))):
            pass
        for result in selection.train_all(chosen, executor):
            trained.append(result)
            line = trained_line(result, len(trained), len(chosen), "block")
            console.print(line, soft_wrap=True)
    except KeyboardInterrupt:
        console.print("interrupted; run the same command to go on")
        raise
    finally:
        executor.close()
    return trained


def _report(
    search: Path, workdir: Path, trained: Sequence["Trained"], console: Console
) -> None:
    from bqnn.final import calibrate
    from bqnn.final.workdir import write_json
    from bqnn.report.calibrated import calibration_tables, save_figure

    found = calibrate.calibrate(calibrate.read_search(search).problem, trained)
    console.print(calibration_tables(found))
    weights, figure = workdir / "calibration.json", workdir / "figure6.png"
    write_json(weights, calibrate.to_json(found))
    save_figure(found, figure)
    console.print(f"drawn: {figure}", soft_wrap=True)
    console.print(
        f"{cli.command('rescore')} --workdir={search} --weights={weights}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    cli.run(main, FinalConfig)

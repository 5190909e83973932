"""Flags of a choice among blocks, for `launch.train`."""

from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from rich.console import Console

from bqnn.config import Config
from bqnn.errors import ConfigError
from bqnn.executors.executor import Executor, MakeWorker
from bqnn.final.config import FinalConfig
from launch import cli, workers

if TYPE_CHECKING:  # jax, which is slow to import
    from bqnn.choice import Winner

_TOP = flags.DEFINE_integer(
    "top", None, "Train as many of its best blocks, and rank them.", lower_bound=1
)
_FRONT = flags.DEFINE_bool(
    "front",
    False,
    "Train its blocks that no other beats in accuracy and in the costs that it "
    "weighed, and rank them; the cheapest has rank 1 (by the first cost).",
)
_LIMIT = flags.DEFINE_multi_integer(
    "limit",
    [],
    "With --front: the most that a block may cost; once for each cost, in order.",
    lower_bound=1,
)
_RIVALS = flags.DEFINE_string(
    "rivals",
    None,
    "With --top or --front: train these too, names of known blocks and random:N, "
    "joined by commas; the random ones are drawn from train.seed as the search "
    "explores.",
)
_MATCH = flags.DEFINE_enum(
    "match",
    "params",
    ["params", "flops", "none"],
    "With --rivals: what all networks have as much of as that of rank 1; "
    "their widths are scaled by a factor, to the nearest integers.",
)
_SEEDS = flags.DEFINE_integer(
    "seeds", 3, "With --rivals: how often each block is trained.", lower_bound=1
)
_RETRAIN = flags.DEFINE_bool(
    "retrain",
    False,
    "With --top or --front: train the winner on all training images, and read the test "
    "split.",
)


def asked() -> bool:
    """Tell whether blocks are to be chosen among."""
    return bool(_TOP.value or _FRONT.value)


def refuse() -> None:
    """Refuse flags that would have no effect.

    Raises:
      ConfigError: if one of them was given.
    """
    if not asked():
        cli.refuse(("rivals", "match", "seeds", "retrain"), "without --top or --front")
    if _TOP.value:
        cli.refuse(("front",), "with --top")
    if not _FRONT.value:
        cli.refuse(("limit",), "without --front")
    if not _RIVALS.value:
        cli.refuse(("match", "seeds"), "without --rivals")


def choose(
    config: FinalConfig,
    search: str | None,
    workdir: Path,
    console: Console,
    interrupted: cli.Interrupt,
) -> None:
    """Train blocks of a search, choose one, and say how to go on.

    Args:
      config: configuration of the trainings.
      search: work directory of the search.
      workdir: directory of the trainings.
      console: where results are shown.
      interrupted: tells whether the user asked to stop.

    Raises:
      KeyboardInterrupt: if interrupted; the same command goes on.
      BqnnError: if something cannot be done.
    """
    if not search:
        flag = "--top" if _TOP.value else "--front"
        raise ConfigError(f"{flag} needs --search=DIR")
    from bqnn import choice
    from bqnn.final import selection
    from bqnn.final.rivals import parse_rivals

    if _TOP.value:
        found = selection.best_of(Path(search), _TOP.value)
    else:
        found = selection.read_front(Path(search), limits=_LIMIT.value).found
    asked_for = choice.Choice(config, Path(search), found, workdir, _RETRAIN.value)

    def start(shared: Config, make_worker: MakeWorker) -> Executor:
        return workers.make_executor(shared, interrupted, make_worker)

    try:
        if _RIVALS.value:
            rivals = parse_rivals(_RIVALS.value)
            terms = choice.Terms(rivals, _MATCH.value, _SEEDS.value)
            winner = choice.compete(asked_for, terms, start, console)
        else:
            winner = choice.select(asked_for, start, console)
    except KeyboardInterrupt:
        console.print("interrupted; run the same command to go on")
        raise
    _say_how_to_go_on(winner, workdir, console)


def _say_how_to_go_on(winner: "Winner", workdir: Path, console: Console) -> None:
    from bqnn.final.selection import rank_folder
    from bqnn.final.winner import winner_folder

    if _RETRAIN.value:
        export = f"--workdir={winner_folder(workdir)} --format=flax"
        console.print(f"{cli.command('export')} {export}", soft_wrap=True)
    elif _RIVALS.value:
        again = f"{winner.name} on all training images and to test it once"
        console.print(f"run the same command with --retrain to train {again}")
    else:
        folder = rank_folder(workdir, winner.number + 1)
        console.print(f"{cli.command('evaluate')} --workdir={folder}")

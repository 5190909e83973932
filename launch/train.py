r"""Train a block to convergence, on all devices, and test it.

  python -m launch.train --search=runs/first --rank=1 --workdir=runs/final \
      --config=digits_final
  python -m launch.train --block='1,1,3,0,0;2,7,0,0,0' --workdir=runs/cifar10 \
      --config=cifar_final --config.data.name=cifar10

With --top=K the K best blocks of a search are trained, by as many workers as there are
cores or accelerators, and ranked by validation accuracy. With --retrain, the winner is
then trained on all training images, and tested once. --front instead of --top takes
the blocks that no other beats in accuracy and cost, with --limit=N those that cost N at
most. The flags of launch.workers (--executor, --workers, ...) are for these alone.

  python -m launch.train --search=runs/first --top=5 --workdir=runs/contest \
      --rivals=resnet,inception,random:5 --match=params --seeds=3 --retrain \
      --config=digits_final --config.data.validation=0.2

trains the rivals by the same recipe, at equal parameters or FLOPs, with several seeds.

Run the same command again to go on after Ctrl-C, a crash or a kill. Several processes
train one network when each is given --coordinator, --processes and --process, or, on
Cloud TPU, Slurm and GKE, --distributed alone.
"""

from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console

from bqnn import machine, runtime
from bqnn.errors import ConfigError
from bqnn.final.config import FinalConfig
from bqnn.space import known
from bqnn.space.nsc import Block
from launch import choice, cli, config_flag, workers

_CONFIG = config_flag.define("training")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the training.", required=True
)
_BLOCK = flags.DEFINE_string(
    "block", None, "NSC of the block to train, or the name of a known one."
)
_SEARCH = flags.DEFINE_string("search", None, "Directory of the search to train from.")
_RANK = flags.DEFINE_integer(
    "rank", 1, "Which of its blocks by reward; 1 is the best.", lower_bound=1
)
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Join the processes that the cluster's environment names."
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "host:port of process 0, if there are several."
)
_PROCESSES = flags.DEFINE_integer(
    "processes", None, "How many processes train together.", lower_bound=1
)
_PROCESS = flags.DEFINE_integer(
    "process", None, "Number of this process, from 0.", lower_bound=0
)


def main() -> None:
    """Train the block and print what came of it."""
    config = config_flag.config_of(_CONFIG, FinalConfig)
    _refuse_what_has_no_effect()
    interrupted, console = cli.Interrupt(), cli.console()
    if choice.asked():
        workdir = Path(_WORKDIR.value)
        choice.choose(config, _SEARCH.value, workdir, console, interrupted)
        return
    runtime.configure_process(
        config.train.threads or machine.cores(), workers.cache_dir()
    )
    if _DISTRIBUTED.value or _COORDINATOR.value:
        from bqnn import parallel

        # Before a search is read, which starts jax.
        parallel.join(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)
    _train(_block(), config, console, interrupted)


def _refuse_what_has_no_effect() -> None:
    joining = ("processes", "process")
    if choice.asked():
        names = ("block", "rank", "distributed", "coordinator", *joining)
        cli.refuse(names, "with --top or --front")
        return choice.refuse()
    workers.refuse("without --top or --front")
    choice.refuse()
    if _BLOCK.value:
        cli.refuse(("rank",), "with --block")
    if not (_DISTRIBUTED.value or _COORDINATOR.value):
        cli.refuse(joining, "without --coordinator")


def _train(
    block: Block, config: FinalConfig, console: Console, interrupted: cli.Interrupt
) -> None:
    from bqnn.final.train import train_block
    from bqnn.report.epochs import EpochDisplay

    workdir = Path(_WORKDIR.value)
    with EpochDisplay(console, config.train.epochs) as display:
        try:
            result = train_block(block, config, workdir, interrupted, display.show)
        except KeyboardInterrupt:
            console.print("interrupted and saved; run the same command to go on")
            raise
    console.print(_outcome(result), soft_wrap=True)
    for program, more in (("evaluate", ""), ("export", " --format=flax")):
        console.print(
            f"{cli.command(program)} --workdir={workdir}{more}", soft_wrap=True
        )


def _outcome(result: dict[str, Any]) -> str:
    done = f"trained {result['epochs']} epochs in {result['seconds']:.0f} s"
    test = result["test"]
    if test is None:
        return f"{done}; not tested, to choose among blocks by validation"
    accuracy, loss = test["accuracy"], test["loss"]
    return f"{done}; on the test split: accuracy {accuracy:.2%}, loss {loss:.4f}"


def _block() -> Block:
    """Parse the block, or take it from a search."""
    from bqnn.final import selection

    text, search = _BLOCK.value, _SEARCH.value
    if text and not search:
        return known.parse(text)
    if search and not text:
        return selection.best_of(Path(search), _RANK.value)[-1].candidate.block
    raise ConfigError("want --block=NSC or --search=DIR, one of them")


if __name__ == "__main__":
    cli.run(main, FinalConfig)

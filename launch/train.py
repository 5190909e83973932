r"""Train a block to convergence, on all devices, and test it.

  python -m launch.train --search=runs/first --rank=1 --workdir=runs/final \
      --config=digits_final
  python -m launch.train --block='1,1,3,0,0;2,7,0,0,0' --workdir=runs/cifar10 \
      --config=cifar_final --config.data.name=cifar10

With --top=K the K best blocks of a search are trained, by as many workers as there are
cores or accelerators, and ranked by validation accuracy. The flags of launch.workers
(--executor, --workers, ...) are for --top alone.

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
from launch import cli, config_flag, workers

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
_TOP = flags.DEFINE_integer(
    "top", None, "Train as many of its best blocks, and rank them.", lower_bound=1
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
    if _TOP.value:
        _select(config, _TOP.value, console, interrupted)
        return
    runtime.configure_process(
        config.train.threads or machine.cores(), workers.cache_dir()
    )
    if _DISTRIBUTED.value or _COORDINATOR.value:
        from bqnn.final import parallel

        # Before a search is read, which starts jax.
        parallel.join(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)
    _train(_block(), config, console, interrupted)


def _refuse_what_has_no_effect() -> None:
    joining = ("processes", "process")
    if _TOP.value:
        names = ("block", "rank", "distributed", "coordinator", *joining)
        cli.refuse(names, "with --top")
        return
    workers.refuse("without --top")
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


def _select(
    config: FinalConfig, top: int, console: Console, interrupted: cli.Interrupt
) -> None:
    from bqnn.data import load
    from bqnn.final import selection
    from bqnn.final.workdir import write_json
    from bqnn.final.worker import final_workers, rank_folder
    from bqnn.report.final_tables import final_ranking, trained_line
    from bqnn.report.progress import track_start

    if not _SEARCH.value:
        raise ConfigError("--top needs --search=DIR")
    workdir, shared = Path(_WORKDIR.value), selection.worker_config(config)
    make_worker = final_workers(config, workdir)
    executor = workers.make_executor(shared, interrupted, make_worker)
    trained: list[selection.Trained] = []
    try:
        best = selection.best_of(Path(_SEARCH.value), top)
        for _ in track_start(console, executor.start(load(shared.data))):
            pass
        for result in selection.train_all(best, executor):
            trained.append(result)
            console.print(trained_line(result, len(trained), len(best)))
    except KeyboardInterrupt:
        console.print("interrupted; run the same command to go on")
        raise
    finally:
        executor.close()
    ranked = selection.by_accuracy(trained)
    console.print(final_ranking(ranked, selection.correlations(trained)))
    write_json(workdir / "selection.json", selection.to_json(trained))
    folder = rank_folder(workdir, ranked[0].rank)
    console.print(f"{cli.command('evaluate')} --workdir={folder}")


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

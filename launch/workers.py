"""Flags that say where candidates are evaluated, for the programs that do so."""

from absl import flags

from bqnn import runtime
from bqnn.config import Config
from bqnn.executors import EXECUTORS, Executor, Options
from launch import cli

_EXECUTOR = flags.DEFINE_enum(
    "executor",
    "process",
    list(EXECUTORS),
    "Where candidates are evaluated: inline (in this process), process (in processes "
    "of this machine).",
)
_WORKERS = flags.DEFINE_integer(
    "workers",
    None,
    "How many candidates to evaluate at once; by default one per core, or per "
    "accelerator where there are any.",
    lower_bound=1,
)
_MEMORY = flags.DEFINE_float(
    "worker_memory_gb",
    None,
    "Gigabytes that one worker may hold; by default its share of the machine. A worker "
    "that still holds half of it after a candidate is replaced.",
    lower_bound=0.1,
)
_PROGRAM_CACHE = flags.DEFINE_string(
    "program_cache",
    runtime.default_cache_dir(),
    "Directory where compiled programs are kept for the next run; empty for none.",
)


def make_executor(config: Config, interrupted: cli.Interrupt) -> Executor:
    """Make the executor that the flags ask for; call it before jax starts."""
    options = Options(
        interrupted=interrupted,
        cache_dir=_PROGRAM_CACHE.value or None,
        workers=_WORKERS.value,
        memory=int(_MEMORY.value * 1e9) if _MEMORY.value else None,
    )
    return EXECUTORS[_EXECUTOR.value](config, options)

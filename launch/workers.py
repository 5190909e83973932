"""Flags of executors, for the programs that evaluate candidates."""

import os

from absl import flags

from bqnn import machine, runtime
from bqnn.config import Config
from bqnn.errors import ConfigError, quote
from bqnn.executors.executor import (
    Executor,
    MakeWorker,
    Options,
    training_worker,
)
from bqnn.executors.registry import EXECUTORS
from launch import cli

_EXECUTOR = flags.DEFINE_enum(
    "executor",
    "process",
    list(EXECUTORS),
    "Where candidates are evaluated: inline (in this process), process (in processes "
    "of this machine), ray (on a cluster).",
)
_WORKERS = flags.DEFINE_integer(
    "workers",
    None,
    "How many candidates to evaluate at once; by default one per core, or per "
    "accelerator where there are any.",
    lower_bound=1,
)
_PER_DEVICE = flags.DEFINE_integer(
    "workers_per_device",
    1,
    "How many workers share a GPU, each with an equal part of its memory.",
    lower_bound=1,
)
_MEMORY = flags.DEFINE_float(
    "worker_memory_gb",
    None,
    "Gigabytes that one worker may hold; by default its share of the machine. A worker "
    "that still holds half of it after a candidate is replaced.",
    lower_bound=0.1,
)
_RAY_ADDRESS = flags.DEFINE_string(
    "ray_address",
    None,
    "Ray cluster: auto, or host:port of its head; RAY_ADDRESS if not given, or a "
    "cluster on this machine alone.",
)
_RESOURCES = flags.DEFINE_string(
    "worker_resources",
    None,
    "What a worker takes on a Ray cluster: CPU=2, or GPU=1, or TPU=1,CPU=4; by default "
    "one core per train.threads.",
)
_PROGRAM_CACHE = flags.DEFINE_string(
    "program_cache",
    runtime.default_cache_dir(),
    "Directory where compiled programs are kept for the next run; empty for none.",
)

# Flags of a cluster, and of executors with several workers.
_CLUSTER = ("ray_address", "worker_resources")
_SEVERAL = ("workers", "workers_per_device", "worker_memory_gb")


def cache_dir() -> str | None:
    """Return where compiled programs are kept, None for nowhere."""
    return _PROGRAM_CACHE.value or None


def refuse(why: str) -> None:
    """Refuse the flags of executors in a mode that uses none.

    Args:
      why: ends the message.

    Raises:
      ConfigError: if one of them was given.
    """
    cli.refuse(("executor", *_SEVERAL, *_CLUSTER), why)


def given() -> list[str]:
    """List the flags of executors that were given, for another program."""
    names = ("executor", *_SEVERAL, *_CLUSTER, "program_cache")
    found = [flags.FLAGS[name] for name in names]
    return [f"--{flag.name}={flag.value}" for flag in found if flag.present]


def counts(config: Config) -> list[int]:
    """List numbers of workers: 1, 2, 4, ... up to what the flags and machine give.

    Raises:
      ConfigError: if a flag has no effect with this executor.
    """
    _check_flags()
    if _EXECUTOR.value == "inline":
        return [1]
    train = config.train
    fit = machine.accelerators().devices // train.devices * _PER_DEVICE.value
    fit = fit or machine.cores() // train.threads
    most = _WORKERS.value or max(1, fit)
    return [*(2**k for k in range(most.bit_length()) if 2**k < most), most]


def make_executor(
    config: Config,
    interrupted: cli.Interrupt,
    make_worker: MakeWorker = training_worker,
    here: bool = False,
) -> Executor:
    """Make the executor that the flags ask for; call it before jax starts.

    Args:
      config: of the search.
      interrupted: tells whether the user asked to stop.
      make_worker: makes what evaluates candidates.
      here: whether to use processes of this machine in place of a cluster.

    Raises:
      ConfigError: if a flag is malformed, or has no effect with this executor.
    """
    _check_flags()
    moved = here and _EXECUTOR.value == "ray"
    options = Options(
        interrupted=interrupted,
        cache_dir=cache_dir(),
        workers=None if moved else _WORKERS.value,
        per_device=_PER_DEVICE.value,
        resources=_resources(_RESOURCES.value),
        address=_RAY_ADDRESS.value or os.environ.get("RAY_ADDRESS"),
        memory=int(_MEMORY.value * 1e9) if _MEMORY.value else None,
        make_worker=make_worker,
    )
    return EXECUTORS["process" if moved else _EXECUTOR.value](config, options)


def _check_flags() -> None:
    """Refuse what the executor would ignore."""
    if _EXECUTOR.value != "ray":
        cli.refuse(_CLUSTER, f"with --executor={_EXECUTOR.value}")
    else:
        why = "with --executor=ray, where --worker_resources=GPU=0.5 says it"
        cli.refuse(("workers_per_device",), why)
    if _WORKERS.value:
        cli.refuse(("workers_per_device",), "with --workers")
    if _EXECUTOR.value == "inline":
        cli.refuse(_SEVERAL, "with --executor=inline")


def _resources(text: str | None) -> dict[str, float] | None:
    """Parse `NAME=AMOUNT,...`."""
    if text is None:
        return None
    try:
        pairs = (item.split("=") for item in text.split(","))
        found = {name.strip(): float(amount) for name, amount in pairs}
    except ValueError:
        found = {}
    if not found or not all(amount > 0 for amount in found.values()):
        raise ConfigError(
            f"--worker_resources={quote(text)}: want NAME=AMOUNT,..., as in GPU=1,CPU=4"
        )
    return found

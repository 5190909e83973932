"""Parallel: replicas of a training over devices and processes, by `jax.pmap`.

No other file knows how replicas are mapped. Arrays of a mapped function have a leading
axis D: the devices of this process.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bqnn.errors import ConfigError

AXIS = "replicas"
"""Name of the mapped axis, over all devices of all processes."""


def join(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Join other processes, before jax starts.

    Args:
      coordinator: `host:port` of process 0.
      processes: how many processes train together.
      process: the number of this one, from 0. Cloud TPU, Slurm and GKE know what is
        None.

    Raises:
      ConfigError: if they cannot be found.
    """
    try:
        jax.distributed.initialize(coordinator, processes, process)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"cannot join the other processes ({str(error).splitlines()[0]}): want "
            "--coordinator=HOST:PORT --processes=N --process=I, or --distributed on "
            "Cloud TPU, Slurm or GKE"
        ) from error


def pmap_replicas(function: Callable[..., Any], donate: tuple[int, ...] = ()) -> Any:
    """Compile a function of one replica to run on all devices at once."""
    return jax.pmap(function, axis_name=AXIS, donate_argnums=donate)


def replicate(tree: Any) -> Any:
    """Copy every array, `[...]`, to every device of this process, `[D, ...]`."""
    devices = jax.local_device_count()

    def stack(array: Any) -> np.ndarray:
        array = np.asarray(array)
        return np.broadcast_to(array, (devices, *array.shape))

    return _put(jax.tree.map(stack, tree))


def shard(tree: Any) -> Any:
    """Divide the batch of this process among its devices.

    Args:
      tree: arrays `[D * B, ...]`, as long as `local_batch` says.

    Returns:
      Arrays `[D, B, ...]`.
    """
    devices = jax.local_device_count()

    def cut(array: np.ndarray) -> np.ndarray:
        return array.reshape(devices, -1, *array.shape[1:])

    return _put(jax.tree.map(cut, tree))


def unreplicate(tree: Any) -> Any:
    """Take the copy of the first device: `[D, ...]` to NumPy arrays `[...]`."""
    return jax.tree.map(lambda x: np.asarray(x.addressable_data(0))[0], tree)


def local_batch(batch: int) -> int:
    """Divide a batch evenly among all devices; return this process's part of it.

    Raises:
      ConfigError: if it cannot be divided.
    """
    devices = jax.device_count()
    if batch % devices:
        raise ConfigError(
            f"a step of {batch} images (train.batch / train.accumulate) cannot be "
            f"divided among {devices} devices: want a multiple"
        )
    return batch // devices * jax.local_device_count()


def any_process(value: bool) -> bool:
    """Tell whether `value` is true in any process; every process must call this."""
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.array(value)).any())


def _put(tree: Any) -> Any:
    # pmap's own outputs have this sharding. With another one for the first inputs, the
    # second step would compile the network again.
    mesh = Mesh(np.array(jax.local_devices()), (AXIS,))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(AXIS)))

"""The only file that knows how replicas are mapped over devices: `jax.pmap`.

Arrays of a mapped function have a leading axis of this process's devices.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bqnn.errors import ConfigError

AXIS = "replicas"
"""The mapped axis, over all devices of all processes."""


def join(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Join other processes, before jax starts; what is None the cluster says.

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


def mapped(function: Callable[..., Any], donate: tuple[int, ...] = ()) -> Any:
    """Compile a function of one replica to run on all devices at once."""
    return jax.pmap(function, axis_name=AXIS, donate_argnums=donate)


def replicate(tree: Any) -> Any:
    """Put a copy of every array on every local device.  # [...] -> [L, ...]."""
    devices = jax.local_device_count()

    def stack(array: Any) -> np.ndarray:
        array = np.asarray(array)
        return np.broadcast_to(array, (devices, *array.shape))

    return _put(jax.tree.map(stack, tree))


def split(tree: Any) -> Any:
    """Divide the batch of this process among its devices.  # [L b, ...] -> [L, b, ...].

    Args:
      tree: arrays of the length `local_batch` returns.
    """
    devices = jax.local_device_count()

    def cut(array: np.ndarray) -> np.ndarray:
        return array.reshape(devices, -1, *array.shape[1:])

    return _put(jax.tree.map(cut, tree))


def one(tree: Any) -> Any:
    """Take the copy of the first device, as NumPy arrays.  # [L, ...] -> [...]."""
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
    """Tell whether `value` is true in any process; all must ask."""
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.array(value)).any())


def _put(tree: Any) -> Any:
    # As pmap's own outputs are placed: else its second call would compile again.
    mesh = Mesh(np.array(jax.local_devices()), (AXIS,))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(AXIS)))

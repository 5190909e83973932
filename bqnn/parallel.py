"""Parallel: replicas of a training on devices and processes, by `jax.pmap`.

No other file knows `pmap`. Arrays of a mapped function have a leading axis D, the
devices of this process; B is the batch of one device.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bqnn.errors import ConfigError

AXIS = "replicas"
"""Name of the mapped axis: all devices of all processes."""


def join(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Connect to the other processes. Must be called before jax starts.

    Cloud TPU, Slurm and GKE supply each argument that is None.

    Args:
      coordinator: `host:port` of process 0.
      processes: number of processes that train together.
      process: index of this process, from 0.

    Raises:
      ConfigError: if the other processes cannot be reached.
    """
    try:
        jax.distributed.initialize(coordinator, processes, process)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"cannot join the other processes ({str(error).splitlines()[0]}): want "
            "--coordinator=HOST:PORT --processes=N --process=I, or --distributed on "
            "Cloud TPU, Slurm or GKE"
        ) from error


Devices = Sequence[jax.Device] | None
"""Devices of this process; None for all of them."""


def pmap_replicas(
    function: Callable[..., Any], donate: tuple[int, ...] = (), devices: Devices = None
) -> Any:
    """Map a function of one replica over devices, compiled at its first call.

    Args:
      function: a function of trees of arrays; it may reduce over `AXIS`.
      donate: positions of the arguments whose memory the results may take.
      devices: None for all devices of all processes.
    """
    return jax.pmap(function, axis_name=AXIS, donate_argnums=donate, devices=devices)


def replicate(tree: Any, devices: Devices = None) -> Any:
    """Copy arrays `[...]` to every device: arrays `[D, ...]`."""
    count = len(devices or jax.local_devices())

    def stack(array: Any) -> np.ndarray:
        array = np.asarray(array)
        return np.broadcast_to(array, (count, *array.shape))

    return put(jax.tree.map(stack, tree), devices)


def shard(tree: Any) -> Any:
    """Divide the batch of this process among its devices.

    Args:
      tree: arrays `[D * B, ...]`, where `local_batch` is D * B.

    Returns:
      Arrays `[D, B, ...]`.
    """
    devices = jax.local_device_count()

    def split(array: np.ndarray) -> np.ndarray:
        return array.reshape(devices, -1, *array.shape[1:])

    return put(jax.tree.map(split, tree))


def unreplicate(tree: Any) -> Any:
    """Return the first device's copy of arrays `[D, ...]`: NumPy arrays `[...]`."""
    return jax.tree.map(lambda x: np.asarray(x.addressable_data(0))[0], tree)


def local_batch(batch: int) -> int:
    """Return how many images of a step this process computes: D * B.

    Args:
      batch: number of images of a step, over all devices of all processes.

    Raises:
      ConfigError: if the number of devices does not divide `batch`.
    """
    devices = jax.device_count()
    if batch % devices:
        raise ConfigError(
            f"a step of {batch} images (train.batch / train.accumulate) cannot be "
            f"divided among {devices} devices: want a multiple"
        )
    return batch // devices * jax.local_device_count()


def any_process(value: bool) -> bool:
    """Return whether `value` is true in any process. Every process must call this."""
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.array(value)).any())


def put(tree: Any, devices: Devices = None) -> Any:
    """Give every device its row of arrays `[D, ...]`."""
    # The outputs of pmap have this sharding. If the first inputs had another one, the
    # second step would compile the network again.
    mesh = Mesh(np.array(devices or jax.local_devices()), (AXIS,))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(AXIS)))

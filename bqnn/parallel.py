"""The only file that knows how replicas are mapped over devices: `jax.pmap`.

Arrays of a mapped function have a leading axis of this process's devices.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from bqnn.errors import ConfigError

AXIS = "replicas"
"""The mapped axis, over all devices of all processes."""


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


def _put(tree: Any) -> Any:
    mesh = jax.make_mesh(
        (jax.local_device_count(),), (AXIS,), devices=jax.local_devices()
    )
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(AXIS)))

"""Placement: the devices on which a network is trained whole, one or several."""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import numpy as np

from bqnn import parallel
from bqnn.errors import ConfigError
from bqnn.networks.network import Network, SyncedNetwork


class Placement(Protocol):
    """Places arrays and programs on devices. B images of a step, D devices.

    Attributes:
      axis: that a step reduces over, None if there is no other device.
    """

    axis: str | None

    def put(self, tree: Any) -> Any:
        """Put arrays on all devices."""

    def share(self, array: Any) -> Any:
        """Divide the images of steps, `[..., B]`, among the devices."""

    def program(self, function: Callable[..., Any], donate: tuple[int, ...]) -> Any:
        """Make a function of what `put` and `share` return ready to be lowered."""

    def first(self, array: Any) -> Any:
        """Return one device's copy of a result that is equal on all."""

    def network(self, network: type[Network]) -> type[Network]:
        """Return the module to train instead of `network`."""


class OneDevice:
    """The first device alone."""

    axis: str | None = None

    def put(self, tree: Any) -> Any:
        """As `Placement.put`."""
        return jax.device_put(tree)

    def share(self, array: Any) -> Any:
        """As `Placement.share`: all of it is one's."""
        return array

    def program(self, function: Callable[..., Any], donate: tuple[int, ...]) -> Any:
        """As `Placement.program`."""
        return jax.jit(function, donate_argnums=donate)

    def first(self, array: Any) -> Any:
        """As `Placement.first`."""
        return array

    def network(self, network: type[Network]) -> type[Network]:
        """As `Placement.network`."""
        return network


class SeveralDevices:
    """The first devices of this process, each with a part of every batch.

    Gradients, and the statistics of batch normalisation, are those of the whole batch,
    so any number of devices trains alike, up to rounding.
    """

    axis: str | None = parallel.AXIS

    def __init__(self, count: int, batch: int) -> None:
        """Take the first devices.

        Args:
          count: D.
          batch: B, images per step.

        Raises:
          ConfigError: if there are fewer devices, or they cannot divide the batch.
        """
        self._devices, here = jax.local_devices()[:count], jax.local_device_count()
        if here < count:
            raise ConfigError(
                f"train.devices is {count}: this process has {here} of them"
            )
        if batch % count:
            raise ConfigError(
                f"a step of {batch} images cannot be divided among {count} devices "
                "(train.devices): want a multiple"
            )

    def put(self, tree: Any) -> Any:
        """As `Placement.put`: arrays `[D, ...]`."""
        return parallel.replicate(tree, self._devices)

    def share(self, array: Any) -> Any:
        """As `Placement.share`: `[D, ..., B / D]`."""
        parts = np.split(np.asarray(array), len(self._devices), axis=-1)
        return parallel.put(np.stack(parts), self._devices)

    def program(self, function: Callable[..., Any], donate: tuple[int, ...]) -> Any:
        """As `Placement.program`."""
        return parallel.pmap_replicas(function, donate, self._devices)

    def first(self, array: Any) -> Any:
        """As `Placement.first`."""
        return parallel.unreplicate(array)

    def network(self, network: type[Network]) -> type[Network]:
        """As `Placement.network`: one that normalises by the whole batch."""
        del network
        return SyncedNetwork


def placement(devices: int, batch: int) -> Placement:
    """Choose a placement; arguments and errors as of `SeveralDevices`."""
    return OneDevice() if devices == 1 else SeveralDevices(devices, batch)

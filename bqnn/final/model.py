"""Model: a trained network with all that is needed to use it on images."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn.config import NetworkConfig
from bqnn.networks.plan import ImageSpec, NetworkPlan, plan
from bqnn.space.nsc import Block

if TYPE_CHECKING:  # slow to import
    from jax import Array


class Model(NamedTuple):
    """A trained network.

    Attributes:
      block: the block that the network repeats.
      network: how the block is stacked.
      images: shape of the images, and number of classes.
      class_names: names of the K classes, in the order of the logits.
      mean, std: of every channel, in units of pixels, float32 `[C]`.
      variables: `params` and `batch_stats`, trees of NumPy arrays.
      dtype: data type of the computation.
    """

    block: Block
    network: NetworkConfig
    images: ImageSpec
    class_names: tuple[str, ...]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    variables: Mapping[str, Any]
    dtype: str = "float32"

    @property
    def plan(self) -> NetworkPlan:
        """The network, node by node."""
        return plan(self.block, self.network, self.images)


def logits_function(model: Model) -> "Callable[[Mapping[str, Any], Array], Array]":
    """Make the pure function of a network.

    Returns:
      A function of variables and images, uint8 `[B, H, W, C]`, to logits, float32
      `[B, K]`.
    """
    import jax.numpy as jnp

    from bqnn.networks.network import Network

    network = Network(model.plan, jnp.dtype(model.dtype))

    def logits(variables: Mapping[str, Any], images: "Array") -> "Array":
        inputs = normalise_images(images, model.mean, model.std)
        found, _ = network.apply(variables, inputs, train=False, mutable=[])
        return found

    return logits


def normalise_images(
    images: "Array", mean: NDArray[np.float32], std: NDArray[np.float32]
) -> "Array":
    """Normalise images channel by channel.

    Args:
      images: in units of pixels, `[B, H, W, C]` of any dtype.
      mean: mean of every channel, in units of pixels, float32 `[C]`.
      std: standard deviation of every channel, in units of pixels, float32 `[C]`.

    Returns:
      Images, float32 `[B, H, W, C]`.
    """
    mean, std = (x.reshape(1, 1, 1, -1) for x in (mean, std))
    return (images.astype(np.float32) - mean) / std

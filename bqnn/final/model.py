"""A trained network with all that is needed to use it on images."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from bqnn.config import NetworkConfig
from bqnn.networks.network import Network
from bqnn.networks.plan import ImageSpec, NetworkPlan, plan
from bqnn.space.nsc import Block


class Model(NamedTuple):
    """A trained network.

    Attributes:
      block: that it is made of.
      network: how the block is stacked.
      images: shape of the images and number of classes.
      class_names: in the order of the logits.
      mean, std: that images are normalised by, in units of pixels, `[C] float32`.
      variables: `params` and `batch_stats`, trees of NumPy arrays.
      dtype: of the computation.
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


def logits_function(model: Model) -> Callable[[Mapping[str, Any], Array], Array]:
    """Make the pure function of a network: (variables, images) to logits.

    Returns:
      A function of variables and images [B, H, W, C] uint8 to logits [B, K] float32.
    """
    network = Network(model.plan, jnp.dtype(model.dtype))
    mean, std = (jnp.array(x).reshape(1, 1, 1, -1) for x in (model.mean, model.std))

    def logits(variables: Mapping[str, Any], images: Array) -> Array:
        normalised = (images.astype(jnp.float32) - mean) / std
        found, _ = network.apply(variables, normalised, train=False, mutable=[])
        return found

    return logits

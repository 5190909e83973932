"""The whole network as one Flax module that walks a `NetworkPlan`."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax import Array

from bqnn.layers import MODULES
from bqnn.plan import NetworkPlan

Variables = Mapping[str, Any]


class Network(nn.Module):
    """A network of the plan's nodes.

    Attributes:
      plan: what to build.
      dtype: of the computation; parameters and batch statistics are float32.
    """

    plan: NetworkPlan
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool) -> Array:
        """Compute logits.

        Args:
          images: normalised.  # [B, H, W, C]
          train: whether batch normalisation uses (and collects) the statistics of this
            batch instead of the running ones.

        Returns:
          Logits.  # [B, K] float32
        """
        values = [images.astype(self.dtype)]
        for node in self.plan.nodes[1:]:
            inputs = (values[place] for place in node.inputs)
            values.append(MODULES[node.op](node, self.dtype)(*inputs, train=train))
        return values[-1]


def abstract_variables(plan: NetworkPlan) -> Variables:
    """Return shapes and dtypes of the parameters and batch statistics, untouched."""
    image = plan.nodes[0]
    shape = jax.ShapeDtypeStruct(
        (1, image.height, image.width, image.channels), jnp.float32
    )
    return jax.eval_shape(
        lambda key, x: Network(plan).init(key, x, train=False), jax.random.key(0), shape
    )


def init_variables(plan: NetworkPlan, seed: int) -> Variables:
    """Draw the variables of a network: He initialisation (the paper, section 4.2).

    The same distributions as `Network.init`, drawn by NumPy: compiling the init of a
    network takes longer than training it in a quick search.

    Args:
      plan: the network.
      seed: of the draws.

    Returns:
      `params` and `batch_stats`, as `Network.init` returns them.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    flat = traverse_util.flatten_dict(dict(abstract_variables(plan)))
    drawn = {path: _draw(rng, path[-1], flat[path].shape) for path in sorted(flat)}
    return traverse_util.unflatten_dict(drawn)


def _draw(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
    if name == "kernel":
        fan_in = int(np.prod(shape[:-1]))
        kernel = rng.standard_normal(shape, np.float32)
        return jnp.asarray(kernel * np.float32(np.sqrt(2 / fan_in)))
    if name in ("scale", "var"):
        return jnp.ones(shape, jnp.float32)
    return jnp.zeros(shape, jnp.float32)

"""The block builder in one call: from a block to jitted functions."""

from collections.abc import Callable
from typing import NamedTuple, cast

import chex
import jax
import jax.numpy as jnp
from jax import Array

from bqnn.config import NetworkConfig
from bqnn.errors import ConfigError, quote
from bqnn.networks.network import Network, Variables
from bqnn.networks.plan import ImageSpec, plan
from bqnn.space.known import as_block
from bqnn.space.nsc import Block

_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
_CIFAR = ImageSpec(32, 32, 3, 10)
_DEFAULT = NetworkConfig()


class BuiltNetwork(NamedTuple):
    """The network of a block, as a Flax module and as jitted pure functions.

    Attributes:
      module: the module: `module.apply(variables, images, train=True,
        mutable=["batch_stats"])` trains it as any Flax module is trained.
      init: key -> variables, `params` and `batch_stats`, float32. The key is consumed.
      apply: (variables, images `[B, H, W, C]`, normalised) -> logits, float32 `[B, K]`,
        with the running statistics of batch normalisation.
    """

    module: Network
    init: Callable[[chex.PRNGKey], Variables]
    apply: Callable[[Variables, Array], Array]


def build(
    block: Block | str,
    network: NetworkConfig = _DEFAULT,
    images: ImageSpec = _CIFAR,
    dtype: str = "float32",
) -> BuiltNetwork:
    """Build the network that a block is stacked into (the paper, stacking).

    >>> network = bqnn.build("1,1,3,0,0")
    >>> logits = network.apply(network.init(jax.random.key(0)), images)

    Args:
      block: the block, its NSC text, or the name of a known one.
      network: stem, filters of each stage, blocks per stage.
      images: height, width and channels of the images, number of classes K.
      dtype: of the computation, `float32` or `bfloat16`; variables are float32.

    Raises:
      NscError: if a text is not a block.
      ConfigError: for another dtype.
    """
    if dtype not in _DTYPES:
        raise ConfigError(f"dtype is {quote(dtype)}: want {' or '.join(_DTYPES)}")
    module = Network(plan(as_block(block), network, images), _DTYPES[dtype])
    one = jax.ShapeDtypeStruct((1, *images[:3]), jnp.float32)

    def init(key: chex.PRNGKey) -> Variables:
        return module.init(key, jnp.zeros(one.shape, one.dtype), train=False)

    def apply(variables: Variables, images: Array) -> Array:
        return cast(Array, module.apply(variables, images, train=False))

    return BuiltNetwork(module, jax.jit(init), jax.jit(apply))

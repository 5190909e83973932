"""The operations of a network, as Flax modules (the paper, section 3.1 and table 1).

Every module maps its inputs, each [B, H, W, C], to one output. Inside a block stride is
1 and height and width are kept; padding is what that needs ("SAME").
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from bqnn.plan import Node

# He et al., *Delving deep into rectifiers*, 2015, equation 10.
HE_NORMAL = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
# Running statistics follow in tens of steps: an epoch of a small data set has no more.
BATCH_NORM_MOMENTUM = 0.9
BATCH_NORM_EPSILON = 1e-5


class ConvolutionNorm(nn.Module):
    """Convolution without bias, then batch normalisation: the stem (ours)."""

    filters: int
    kernel: int
    stride: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Map [B, H, W, C] to [B, H / stride, W / stride, filters]."""
        x = nn.Conv(
            self.filters,
            (self.kernel, self.kernel),
            strides=(self.stride, self.stride),
            use_bias=False,
            kernel_init=HE_NORMAL,
            dtype=self.dtype,
            name="conv",
        )(x)
        return nn.BatchNorm(
            use_running_average=not train,
            momentum=BATCH_NORM_MOMENTUM,
            epsilon=BATCH_NORM_EPSILON,
            dtype=self.dtype,
            name="norm",
        )(x)


class PreActivationConvolution(ConvolutionNorm):
    """The paper's PCC: ReLU, convolution, batch normalisation (section 3.1)."""

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Map [B, H, W, C] to [B, H, W, filters]."""
        return super().__call__(nn.relu(x), train)


class MaxPooling(nn.Module):
    """The largest value under a window."""

    kernel: int
    stride: int

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Map [B, H, W, C] to [B, H / stride, W / stride, C], rounded up."""
        return nn.max_pool(x, *_window(self.kernel, self.stride), padding="SAME")


class AveragePooling(nn.Module):
    """The mean of the real pixels under a window: padding does not count (ours)."""

    kernel: int
    stride: int

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Map [B, H, W, C] to [B, H / stride, W / stride, C], rounded up."""
        window = _window(self.kernel, self.stride)
        return nn.avg_pool(x, *window, padding="SAME", count_include_pad=False)


class Identity(nn.Module):
    """Passes its input on."""

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Return `x`."""
        return x


class Add(nn.Module):
    """Elemental addition."""

    @nn.compact
    def __call__(self, a: Array, b: Array, train: bool) -> Array:
        """Add two [B, H, W, C]."""
        return a + b


class Concat(nn.Module):
    """Concatenation along the channels."""

    @nn.compact
    def __call__(self, *inputs: Array, train: bool) -> Array:
        """Map several [B, H, W, C_i] to [B, H, W, sum of C_i]."""
        return jnp.concatenate(inputs, axis=-1)


class Head(nn.Module):
    """ReLU, global average pooling and a dense layer with bias (ours)."""

    num_classes: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Map [B, H, W, C] to logits.  # [B, K] float32."""
        x = nn.relu(x).mean(axis=(1, 2))
        x = nn.Dense(
            self.num_classes, kernel_init=HE_NORMAL, dtype=self.dtype, name="dense"
        )(x)
        return x.astype(jnp.float32)


def _window(kernel: int, stride: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (kernel, kernel), (stride, stride)


MODULES: dict[str, Callable[[Node, Any], nn.Module]] = {
    "stem": lambda n, dtype: ConvolutionNorm(
        n.channels, n.kernel, n.stride, dtype, name=n.name
    ),
    "pcc": lambda n, dtype: PreActivationConvolution(
        n.channels, n.kernel, n.stride, dtype, name=n.name
    ),
    "max_pool": lambda n, dtype: MaxPooling(n.kernel, n.stride, name=n.name),
    "average_pool": lambda n, dtype: AveragePooling(n.kernel, n.stride, name=n.name),
    "identity": lambda n, dtype: Identity(name=n.name),
    "add": lambda n, dtype: Add(name=n.name),
    "concat": lambda n, dtype: Concat(name=n.name),
    "head": lambda n, dtype: Head(n.channels, dtype, name=n.name),
}
"""The module of every `Node.op`; a new layer type gets its line here."""

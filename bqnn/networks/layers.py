"""Layers: the operations of a network, as Flax modules (the paper, table 1).

Every module maps its inputs, `[B, H, W, C]` each, to one output. Inside a block the
stride is 1 and the padding "SAME", so height and width stay.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from bqnn.layer_types import own_kind
from bqnn.networks import kernels, pooling
from bqnn.networks.depthwise import depthwise_convolution
from bqnn.networks.plan import Node

# He et al., *Delving deep into rectifiers*, 2015.
HE_NORMAL = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
# Ours: running statistics must follow within an epoch, and an epoch of digits has 17
# steps. Otherwise the first epoch looks worse than a guess.
BATCH_NORM_MOMENTUM = 0.9


class Kernel(nn.Module):
    """The weights of a convolution."""

    shape: tuple[int, int, int, int]

    @nn.compact
    def __call__(self) -> Array:
        """Return the kernel, float32 `[k, k, C, F]`."""
        return self.param("kernel", HE_NORMAL, self.shape, jnp.float32)


class Norm(nn.Module):
    """The parameters of batch normalisation, and its running statistics."""

    filters: int

    def setup(self) -> None:
        """Declare the variables of `flax.linen.BatchNorm`."""
        shape = (self.filters,)
        self.scale = self.param("scale", nn.initializers.ones, shape, jnp.float32)
        self.bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)
        self.mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        self.var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)

    def follow(self, mean: Array, var: Array) -> None:
        """Move the running statistics towards those of a batch, float32 `[F]` each."""
        if self.is_initializing():
            return
        for running, new in ((self.mean, mean), (self.var, var)):
            kept = BATCH_NORM_MOMENTUM * running.value
            running.value = kept + (1 - BATCH_NORM_MOMENTUM) * new

    def __call__(self, x: Array) -> Array:
        """Normalise `[B, H, W, F]` by the running statistics."""
        return kernels.normalised(
            x, self.mean.value, self.var.value, self.scale, self.bias
        )


class ConvolutionNorm(nn.Module):
    """Convolution without bias, then batch normalisation: the stem (ours).

    With an `axis`, the batch is that of all replicas along that mapped axis.
    """

    filters: int
    kernel: int
    stride: int
    dtype: Any
    activation: bool = False
    axis: str | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Map `[B, H, W, C]` to `[B, H / stride, W / stride, F]`, rounded up."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.filters)
        kernel = Kernel(shape, name="conv")().astype(self.dtype)
        norm = Norm(self.filters, name="norm")
        x = x.astype(self.dtype)
        if train:
            y, mean, var = kernels.convolution_norm(
                x,
                kernel,
                norm.scale,
                norm.bias,
                self.activation,
                self.stride,
                self.axis,
            )
            norm.follow(mean, var)
            return y
        x = nn.relu(x) if self.activation else x
        return norm(kernels.convolution(x, kernel, self.stride))


class PreActivationConvolution(ConvolutionNorm):
    """The paper's PCC: ReLU, convolution, batch normalisation."""

    activation: bool = True


class SeparableConvolution(nn.Module):
    """ReLU, depthwise and 1x1 convolution, batch normalisation (ours).

    After Howard et al., *MobileNets*, 2017, in the order of NASNet (Zoph et al.,
    *Learning transferable architectures*, 2018). With an `axis`, the batch is that of
    all replicas along that mapped axis.
    """

    filters: int
    kernel: int
    dtype: Any
    axis: str | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Map `[B, H, W, C]` to `[B, H, W, F]`."""
        channels = x.shape[-1]
        shape = (self.kernel, self.kernel, 1, channels)
        kernel = Kernel(shape, name="depthwise")().astype(self.dtype)
        shape = (1, 1, channels, self.filters)
        pointwise = Kernel(shape, name="pointwise")().astype(self.dtype)
        norm = Norm(self.filters, name="norm")
        x = depthwise_convolution(x.astype(self.dtype), kernel, activation=True)
        if train:
            y, mean, var = kernels.convolution_norm(
                x, pointwise, norm.scale, norm.bias, False, 1, self.axis
            )
            norm.follow(mean, var)
            return y
        return norm(kernels.convolution(x, pointwise))


class MaxPooling(nn.Module):
    """The largest value under a window."""

    kernel: int
    stride: int

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Map `[B, H, W, C]` to `[B, H / stride, W / stride, C]`, rounded up."""
        return x if self.kernel == 1 else pooling.max_pool(x, self.kernel, self.stride)


class AveragePooling(nn.Module):
    """The mean of the real pixels under a window, padding excluded (ours)."""

    kernel: int
    stride: int

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Map `[B, H, W, C]` to `[B, H / stride, W / stride, C]`, rounded up."""
        if self.kernel == 1:
            return x
        return pooling.average_pool(x, self.kernel, self.stride)


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
        """Add two `[B, H, W, C]`."""
        return a + b


class Concat(nn.Module):
    """Concatenation along the channels."""

    @nn.compact
    def __call__(self, *inputs: Array, train: bool) -> Array:
        """Map several `[B, H, W, C_i]` to `[B, H, W, sum of C_i]`."""
        return jnp.concatenate(inputs, axis=-1)


class Head(nn.Module):
    """ReLU, global average pooling and a dense layer with bias (ours)."""

    num_classes: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Map `[B, H, W, C]` to logits, float32 `[B, K]`."""
        x = nn.relu(x).mean(axis=(1, 2))
        x = nn.Dense(
            self.num_classes, kernel_init=HE_NORMAL, dtype=self.dtype, name="dense"
        )(x)
        return x.astype(jnp.float32)


MakeModule = Callable[[Node, Any], nn.Module]

MODULES: dict[str, MakeModule] = {
    "stem": lambda n, dtype: ConvolutionNorm(
        n.channels, n.kernel, n.stride, dtype, name=n.name
    ),
    "pcc": lambda n, dtype: PreActivationConvolution(
        n.channels, n.kernel, n.stride, dtype, name=n.name
    ),
    "separable": lambda n, dtype: SeparableConvolution(
        n.channels, n.kernel, dtype, name=n.name
    ),
    "max_pool": lambda n, dtype: MaxPooling(n.kernel, n.stride, name=n.name),
    "average_pool": lambda n, dtype: AveragePooling(n.kernel, n.stride, name=n.name),
    "identity": lambda n, dtype: Identity(name=n.name),
    "add": lambda n, dtype: Add(name=n.name),
    "concat": lambda n, dtype: Concat(name=n.name),
    "head": lambda n, dtype: Head(n.channels, dtype, name=n.name),
}
"""The module of every `Node.op` of ours. A new layer type needs a line here."""


def own_module(node: Node, dtype: Any, axis: str | None = None) -> nn.Module:
    """Make the module of a layer of the user's own (`bqnn.register_layer`)."""
    make = own_kind(node.op).module
    module: nn.Module = make(
        filters=node.channels,
        kernel=node.kernel,
        dtype=dtype,
        axis=axis,
        name=node.name,
    )
    return module


def module_of(node: Node, dtype: Any) -> nn.Module:
    """Make the module of any operation."""
    return MODULES.get(node.op, own_module)(node, dtype)

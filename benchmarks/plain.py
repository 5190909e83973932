"""Plain layers: the layers of `bqnn.networks.layers` in plain Flax, to compare with.

They are the same functions of the same parameter tree.
"""

from typing import Any, ClassVar

import flax.linen as nn
from jax import Array

from bqnn.engines.whole import StepEngine
from bqnn.networks.kernels import EPSILON
from bqnn.networks.layers import BATCH_NORM_MOMENTUM, HE_NORMAL, MODULES, MakeModule
from bqnn.networks.network import Network


class ConvolutionNorm(nn.Module):
    """Convolution without bias, then batch normalisation: the stem (ours)."""

    filters: int
    kernel: int
    stride: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Map `[B, H, W, C]` to `[B, H / stride, W / stride, F]`, rounded up."""
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
            epsilon=EPSILON,
            dtype=self.dtype,
            name="norm",
        )(x)


class PreActivationConvolution(ConvolutionNorm):
    """The paper's PCC: ReLU, convolution, batch normalisation."""

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Map `[B, H, W, C]` to `[B, H, W, F]`."""
        return super().__call__(nn.relu(x), train)


class SeparableConvolution(nn.Module):
    """ReLU, depthwise and 1x1 convolution, batch normalisation (ours)."""

    filters: int
    kernel: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Map `[B, H, W, C]` to `[B, H, W, F]`."""
        x = nn.Conv(
            x.shape[-1],
            (self.kernel, self.kernel),
            feature_group_count=x.shape[-1],
            use_bias=False,
            kernel_init=HE_NORMAL,
            dtype=self.dtype,
            name="depthwise",
        )(nn.relu(x))
        x = nn.Conv(
            self.filters,
            (1, 1),
            use_bias=False,
            kernel_init=HE_NORMAL,
            dtype=self.dtype,
            name="pointwise",
        )(x)
        return nn.BatchNorm(
            use_running_average=not train,
            momentum=BATCH_NORM_MOMENTUM,
            epsilon=EPSILON,
            dtype=self.dtype,
            name="norm",
        )(x)


class MaxPooling(nn.Module):
    """The largest value under a window."""

    kernel: int
    stride: int

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Map `[B, H, W, C]` to `[B, H / stride, W / stride, C]`, rounded up."""
        return nn.max_pool(x, *_window(self.kernel, self.stride), padding="SAME")


class AveragePooling(nn.Module):
    """The mean of the real pixels under a window, padding excluded (ours)."""

    kernel: int
    stride: int

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Map `[B, H, W, C]` to `[B, H / stride, W / stride, C]`, rounded up."""
        window = _window(self.kernel, self.stride)
        return nn.avg_pool(x, *window, padding="SAME", count_include_pad=False)


def _window(kernel: int, stride: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (kernel, kernel), (stride, stride)


PLAIN_MODULES: dict[str, MakeModule] = {
    **MODULES,
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
}


class PlainNetwork(Network):
    """`Network` of plain layers."""

    modules: ClassVar[dict[str, MakeModule]] = PLAIN_MODULES


class PlainEngine(StepEngine):
    """`StepEngine` with plain layers."""

    network = PlainNetwork

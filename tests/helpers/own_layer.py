"""Mix: a layer of a user's own that reads two others, which workers must import."""

from collections.abc import Iterator
from typing import Any

import flax.linen as nn
from jax import Array

import bqnn
from bqnn import layer_types


class Mix(nn.Module):
    """Two convolutions, each of which gates the other."""

    filters: int
    kernel: int
    dtype: Any
    axis: str | None

    @nn.compact
    def __call__(self, a: Array, b: Array, train: bool) -> Array:
        """Map two `[B, H, W, C_i]` to `[B, H, W, F]`; their order does not matter."""
        window = self.kernel, self.kernel
        x, y = (
            nn.Conv(self.filters, window, use_bias=False, dtype=self.dtype, name=name)(
                value
            )
            for name, value in (("a", a), ("b", b))
        )
        mixed = x * nn.sigmoid(y) + y * nn.sigmoid(x)
        norm = nn.BatchNorm(
            use_running_average=not train,
            momentum=0.9,
            dtype=self.dtype,
            axis_name=self.axis,
            name="norm",
        )
        return norm(mixed)


def mix_cost(
    kernel: int, filters: int, inputs: tuple[int, ...], height: int, width: int
) -> tuple[int, int, int]:
    """Count parameters, multiply-adds and numbers kept."""
    weights, size = sum(inputs) * filters * kernel**2, height * width
    return weights + 2 * filters, weights * size, 4 * size * filters


def registered() -> Iterator[None]:
    """Register the layer for a while; the whole of a fixture."""
    bqnn.register_layer("mix", 21, Mix, mix_cost, kernels=(1, 3), num_predecessors=2)
    yield
    del layer_types.TYPES[21]

"""Depthwise convolution: a kernel for every channel; images are NHWC.

XLA:CPU computes grouped convolutions 16 to 60 times slower than PyTorch. Sums of
shifted slices are as fast, with a gradient by hand (`launch.bench --parts=kernels`).
"""

import functools

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

from bqnn import runtime
from bqnn.networks.pooling import shifted

# Values of a part of the images that stay in a core's cache, while the gradient of the
# kernel reads them once for every cell.
_CACHED = 2**16
_MOST_ROWS = 8  # summed at once: a longer sum takes longer to compile


def depthwise_convolution(x: Array, kernel: Array, activation: bool) -> Array:
    """Apply ReLU if `activation`, and convolve every channel with a kernel of its own.

    "SAME" padding, stride 1. Sums are float32.

    Args:
      x: images, `[B, H, W, C]`, in the dtype of the computation.
      kernel: weights, `[k, k, 1, C]`, in the same dtype; k is odd.
      activation: whether ReLU comes first.

    Returns:
      Convolved images, `[B, H, W, C]`.
    """
    chex.assert_rank([x, kernel], [4, 4])
    if runtime.accelerated():
        return _grouped(nn.relu(x) if activation else x, kernel)
    return _depthwise(x, kernel, activation)


def _grouped(x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _depthwise(x: Array, kernel: Array, activation: bool) -> Array:
    return _depthwise_forward(x, kernel, activation)[0]


def _depthwise_forward(
    x: Array, kernel: Array, activation: bool
) -> tuple[Array, tuple[Array, Array]]:
    activated = nn.relu(x) if activation else x
    return _convolved(activated, kernel), (activated, kernel)


def _depthwise_backward(
    activation: bool, residuals: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
    activated, kernel = residuals
    # A pixel is under cell i of the window that begins i pixels before it.
    g_x = _convolved(g, kernel[::-1, ::-1])
    if activation:
        g_x = jnp.where(activated > 0, g_x, jnp.zeros_like(g_x))
    return g_x, _kernel_gradient(activated, g, kernel.shape[0]).astype(kernel.dtype)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def _convolved(x: Array, kernel: Array) -> Array:
    size, wide = kernel.shape[0], kernel.astype(jnp.float32)
    cells = wide.reshape(size * size, 1, 1, 1, -1)
    windows = zip(shifted(x, size, 1, 0.0), cells, strict=True)
    total = functools.reduce(jnp.add, (s.astype(jnp.float32) * w for s, w in windows))
    return total.astype(x.dtype)


def _kernel_gradient(x: Array, g: Array, size: int) -> Array:
    """Sum x times g over images and pixels for every cell, float32 `[k, k, 1, C]`.

    XLA fuses a product into the sum over it, and is slow then. So rows are added one by
    one, a part of the images after the other, and what is left by a matrix product.
    """
    batch, height, width, channels = x.shape
    count = _divisor(batch, max(1, _CACHED * batch // x.size))
    rows = _divisor(height, _MOST_ROWS)
    pad = size // 2
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))

    def by_rows(images: Array) -> list[Array]:
        shape = (count, height // rows, rows, width, channels)
        wide = images.reshape(shape).astype(jnp.float32)
        return [wide[:, :, row] for row in range(rows)]

    def add_part(part: Array, totals: tuple[Array, ...]) -> tuple[Array, ...]:
        here = lax.dynamic_slice_in_dim(padded, part * count, count)
        gs = by_rows(lax.dynamic_slice_in_dim(g, part * count, count))
        added = []
        for cell, total in enumerate(totals):
            i, j = divmod(cell, size)
            xs = by_rows(here[:, i : i + height, j : j + width])
            products = (a * b for a, b in zip(xs, gs, strict=True))
            added.append(functools.reduce(jnp.add, products, total))
        return tuple(added)

    zero = jnp.zeros((count, height // rows, width, channels), jnp.float32)
    totals = lax.fori_loop(0, batch // count, add_part, (zero,) * size**2)
    pixels = [total.reshape(-1, channels) for total in totals]
    ones = jnp.ones((1, len(pixels[0])), jnp.float32)
    return jnp.stack([ones @ each for each in pixels]).reshape(size, size, 1, channels)


def _divisor(number: int, most: int) -> int:
    """Return the largest divisor of `number` that is at most `most`."""
    return max(d for d in range(1, min(number, most) + 1) if number % d == 0)

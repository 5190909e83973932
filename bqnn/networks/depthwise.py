"""Depthwise convolution: a kernel for every channel; images are NHWC.

XLA:CPU computes grouped convolutions 4 to 80 times slower than PyTorch. Sums of shifted
slices, with a gradient by hand, take 0.5 to 2 times as long (docs/speed.md).
"""

import functools
from collections.abc import Iterator

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

from bqnn import runtime

# Values of a part of the images that stay in a core's cache, while the gradients read
# them once for every cell of the kernel.
_CACHED = 2**16


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
        return grouped_convolution(nn.relu(x) if activation else x, kernel)
    return _depthwise(x, kernel, activation)


def grouped_convolution(x: Array, kernel: Array) -> Array:
    """Convolve as `depthwise_convolution` does, by XLA's own grouped convolution."""
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
    activated, pad = nn.relu(x) if activation else x, kernel.shape[0] // 2
    padded = jnp.pad(activated, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return _convolved(padded, kernel), (activated, kernel)


def _depthwise_backward(
    activation: bool, residuals: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
    """Compute the gradients of x and kernel, a part of the images after the other."""
    x, kernel = residuals
    batch, height, width, channels = x.shape
    count = _divisor(batch, max(1, _CACHED * batch // x.size))
    size, pad = kernel.shape[0], kernel.shape[0] // 2

    def add_part(number: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        g_x, x_frame, g_frame, *totals = state
        xs, gs = (lax.dynamic_slice_in_dim(a, number * count, count) for a in (x, g))
        # A frame of zeros is written to: XLA would fuse `jnp.pad` into every reader.
        x_frame, g_frame = (
            lax.dynamic_update_slice(frame, images, (0, pad, pad, 0))
            for frame, images in ((x_frame, xs), (g_frame, gs))
        )
        # A pixel is under cell i of the window that begins i pixels before it.
        part = _convolved(g_frame, kernel[::-1, ::-1])
        if activation:
            part = jnp.where(xs > 0, part, jnp.zeros_like(part))
        g_x = lax.dynamic_update_slice_in_dim(g_x, part, number * count, axis=0)
        rows = (x_frame[:, i : i + height] for i in range(size))
        added = (_add_row(x, gs, t) for x, t in zip(rows, totals, strict=True))
        return g_x, x_frame, g_frame, *added

    frame = jnp.zeros((count, height + 2 * pad, width + 2 * pad, channels), x.dtype)
    zero = jnp.zeros((count, height, size, channels), jnp.float32)
    start = (jnp.zeros_like(x), frame, frame, *[zero] * size)
    g_x, _, _, *totals = lax.fori_loop(0, batch // count, add_part, start)
    # XLA would fuse what is summed into a sum over it, and be slow: not so here.
    ones = jnp.ones((1, count * height), jnp.float32)
    cells = jnp.stack([ones @ t.reshape(-1, size * channels) for t in totals])
    return g_x, cells.reshape(kernel.shape).astype(kernel.dtype)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def _convolved(padded: Array, kernel: Array) -> Array:
    """Convolve images with a frame, `[B, H + k - 1, W + k - 1, C]`."""
    size = kernel.shape[0]
    cells = kernel.astype(jnp.float32).reshape(size * size, 1, 1, 1, -1)
    windows = zip(_windows(padded, size), cells, strict=True)
    total = functools.reduce(jnp.add, (x.astype(jnp.float32) * w for x, w in windows))
    return total.astype(padded.dtype)


def _windows(padded: Array, size: int) -> Iterator[Array]:
    """Yield, for every cell of the kernel in row order, the pixels under it."""
    height, width = (n - size + 1 for n in padded.shape[1:3])
    for i in range(size):
        for j in range(size):
            yield padded[:, i : i + height, j : j + width]


def _add_row(x: Array, g: Array, total: Array) -> Array:
    """Add the gradient of one row of the kernel, float32 `[B, H, k, C]`.

    Args:
      x: images with a frame to the left and right, `[B, H, W + k - 1, C]`.
      g: gradient of the output, `[B, H, W, C]`.
      total: what it is added to.
    """
    size = total.shape[2]
    products = (
        x[:, :, j : j + size].astype(jnp.float32)
        * g[:, :, j : j + 1].astype(jnp.float32)
        for j in range(g.shape[2])
    )
    return functools.reduce(jnp.add, products, total)


def _divisor(number: int, most: int) -> int:
    """Return the largest divisor of `number` that is at most `most`."""
    return max(d for d in range(1, min(number, most) + 1) if number % d == 0)

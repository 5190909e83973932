"""Pooling by shifted slices, with gradients of their own; images are NHWC.

XLA runs windows slowly on the CPU, and their gradients more so. On GPUs the gradient of
its max pooling adds by atomic operations, in an order that differs from run to run.
"""

import functools
from collections.abc import Iterator
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax


def max_pool(x: Array, kernel: int, stride: int = 1) -> Array:
    """Take the largest value under a window, with "SAME" padding.

    The gradient goes to the first of equal values, as in XLA.

    Args:
      x: images, `[B, H, W, C]`.
      kernel: side of the window.
      stride: of the window.

    Returns:
      Pooled images, `[B, H / stride, W / stride, C]`, rounded up.
    """
    chex.assert_rank(x, 4)
    return _max_pool(x, kernel, stride)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _max_pool(x: Array, kernel: int, stride: int) -> Array:
    return functools.reduce(jnp.maximum, _shifted(x, kernel, stride, -np.inf))


def _max_pool_forward(
    x: Array, kernel: int, stride: int
) -> tuple[Array, tuple[Array, Array]]:
    shifted = list(_shifted(x, kernel, stride, -np.inf))
    y = functools.reduce(jnp.maximum, shifted)
    # The window cell of the maximum, in the dtype of x: comparisons and selections of
    # one width vectorise.
    none = np.asarray(len(shifted), x.dtype)
    candidates = (
        jnp.where(value == y, np.asarray(cell, x.dtype), none)
        for cell, value in enumerate(shifted)
    )
    winner = functools.reduce(jnp.minimum, candidates)
    # Residuals are arrays: an empty one carries height and width of the images.
    return y, (winner.astype(jnp.int8), jnp.zeros((0, *x.shape[1:3]), jnp.int8))


def _max_pool_backward(
    kernel: int, stride: int, residuals: tuple[Array, Array], g: Array
) -> tuple[Array]:
    winner, like = residuals
    size = like.shape[1:3]
    gs = _unshifted(g, size, kernel, stride, 0)
    winners = _unshifted(winner, size, kernel, stride, -1)
    parts = (
        jnp.where(won == np.int8(cell), part, np.zeros((), g.dtype))
        for cell, (part, won) in enumerate(zip(gs, winners, strict=True))
    )
    return (functools.reduce(jnp.add, parts),)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def average_pool(x: Array, kernel: int, stride: int = 1) -> Array:
    """Average the real pixels under a window, the "SAME" padding excluded.

    Args:
      x: images, `[B, H, W, C]`.
      kernel: side of the window.
      stride: of the window.

    Returns:
      Pooled images, `[B, H / stride, W / stride, C]`, rounded up.
    """
    chex.assert_rank(x, 4)
    return _average_pool(x, kernel, stride)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _average_pool(x: Array, kernel: int, stride: int) -> Array:
    total = functools.reduce(jnp.add, _shifted(x, kernel, stride, 0.0))
    return total * _inverse_counts(x.shape[1:3], kernel, stride, x.dtype)


def _average_pool_forward(
    x: Array, kernel: int, stride: int
) -> tuple[Array, tuple[Array]]:
    like = jnp.zeros((0, *x.shape[1:3]), jnp.int8)
    return _average_pool(x, kernel, stride), (like,)


def _average_pool_backward(
    kernel: int, stride: int, residuals: tuple[Array], g: Array
) -> tuple[Array]:
    size = residuals[0].shape[1:3]
    shared = g * _inverse_counts(size, kernel, stride, g.dtype)
    return (functools.reduce(jnp.add, _unshifted(shared, size, kernel, stride, 0)),)


_average_pool.defvjp(_average_pool_forward, _average_pool_backward)


def _shifted(x: Array, kernel: int, stride: int, fill: float) -> Iterator[Array]:
    """Yield, for every cell of the window in row order, the pixels under it.

    In one dimension, four pixels and a window of three, `.` for `fill`:

        windows   [. x0 x1] [x0 x1 x2] [x1 x2 x3] [x2 x3 .]
        cell 0      .  x0 x1 x2
        cell 1      x0 x1 x2 x3
        cell 2      x1 x2 x3 .
    """
    (top, rows), (left, columns) = (
        _same_padding(size, kernel, stride) for size in x.shape[1:3]
    )
    bottom = max((rows - 1) * stride + kernel - x.shape[1] - top, 0)
    right = max((columns - 1) * stride + kernel - x.shape[2] - left, 0)
    padding = ((0, 0), (top, bottom), (left, right), (0, 0))
    padded = jnp.pad(x, padding, constant_values=np.asarray(fill, x.dtype))
    last_row, last_column = (rows - 1) * stride + 1, (columns - 1) * stride + 1
    for i in range(kernel):
        for j in range(kernel):
            window = padded[:, i : i + last_row, j : j + last_column]
            yield window[:, ::stride, ::stride]


def _unshifted(
    y: Array, size: tuple[int, ...], kernel: int, stride: int, fill: int
) -> Iterator[Array]:
    """Yield, for every cell of the window in row order, the windows over the pixels.

    This is the transpose of `_shifted`: for every pixel, the value of the window that
    has the pixel under this cell, or `fill`. With four windows y of three pixels, as
    above, and with two windows of two pixels at stride 2:

        cell 0      y1 y2 y3 .        y0 .  y1 .
        cell 1      y0 y1 y2 y3       .  y0 .  y1
        cell 2      .  y0 y1 y2
    """
    padding = [(0, 0, 0)]
    for n in size:
        low, out = _same_padding(n, kernel, stride)
        before = kernel - 1 - low
        after = n + kernel - 1 - before - (out - 1) * stride - 1
        padding.append((before, after, stride - 1))
    spread = lax.pad(y, np.asarray(fill, y.dtype), [*padding, (0, 0, 0)])
    for i in reversed(range(kernel)):
        for j in reversed(range(kernel)):
            yield spread[:, i : i + size[0], j : j + size[1]]


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the padding before the first pixel, and the number of windows."""
    out = -(-size // stride)
    return max((out - 1) * stride + kernel - size, 0) // 2, out


def _inverse_counts(
    size: tuple[int, ...], kernel: int, stride: int, dtype: Any
) -> Array:
    """Return 1 / (number of real pixels) for every window, `[1, H, W, 1]`."""
    counts = []
    for n in size:
        low, out = _same_padding(n, kernel, stride)
        first = np.arange(out) * stride - low
        counts.append(np.minimum(first + kernel, n) - np.maximum(first, 0))
    inverse = 1.0 / np.outer(*counts)
    return jnp.asarray(inverse[None, :, :, None], dtype)

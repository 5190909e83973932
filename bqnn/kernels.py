"""The array functions behind the layers, in the forms that are fast on the CPU.

XLA runs three things slowly on the CPU: the gradient of a maximum over windows, 1x1
convolutions, and convolutions of images smaller than their kernel. Each has another
form here that computes the same numbers up to rounding. A form is chosen by backend
and by shape when a function is traced, never by timing, so that results repeat.
Everything is NHWC. `python -m launch.bench` measures every form against the plain one.
"""

import functools
from collections.abc import Iterator
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array, lax

EPSILON = 1e-5


def convolution(x: Array, kernel: Array, stride: int = 1) -> Array:
    """Convolve with "SAME" padding.

    Args:
      x: images.  # [B, H, W, C]
      kernel: weights.  # [k, k, C, F]
      stride: of the window.

    Returns:
      Convolved images.  # [B, H / stride, W / stride, F], rounded up
    """
    chex.assert_rank([x, kernel], [4, 4])
    if stride == 1 and _on_cpu():
        if kernel.shape[0] == 1:
            return _matrix_product(x, kernel)
        if kernel.shape[0] ** 2 > x.shape[1] * x.shape[2]:
            return _dense_convolution(x, kernel)
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def convolution_norm(
    x: Array, kernel: Array, scale: Array, bias: Array, activation: bool, stride: int
) -> tuple[Array, Array, Array]:
    """Apply ReLU if `activation`, convolve, and normalise by the batch.

    Ioffe and Szegedy, *Batch normalization*, 2015, algorithm 1, and its gradient by
    hand: only what is convolved and the result are kept for the backward pass. No
    gradient flows through the statistics returned.

    Args:
      x: images; their dtype is that of the computation.  # [B, H, W, C]
      kernel: weights, of the same dtype.  # [k, k, C, F]
      scale: of the normalised images.  # [F] float32
      bias: as `scale`.  # [F] float32
      activation: whether ReLU comes first.
      stride: of the convolution.

    Returns:
      Normalised images  # [B, H / stride, W / stride, F]
      and mean and biased variance of the convolved ones.  # [F] float32
    """
    return _convolution_norm_forward(x, kernel, scale, bias, activation, stride)[0]


def _convolution_norm_forward(
    x: Array, kernel: Array, scale: Array, bias: Array, activation: bool, stride: int
) -> tuple[tuple[Array, Array, Array], tuple[Array, ...]]:
    activated = nn.relu(x) if activation else x
    z = convolution(activated, kernel, stride)
    wide = z.astype(jnp.float32)
    mean = wide.mean((0, 1, 2))
    var = jnp.maximum(jnp.square(wide).mean((0, 1, 2)) - jnp.square(mean), 0.0)
    y = normalised(z, mean, var, scale, bias)
    # Not `x`, from which backward would activate again while it transposes for the
    # kernel's gradient: XLA is slow at both at once.
    return (y, mean, var), (activated, kernel, scale, z, mean, var)


def _convolution_norm_backward(
    activation: bool,
    stride: int,
    residuals: tuple[Array, ...],
    cotangents: tuple[Array, Array, Array],
) -> tuple[Array, ...]:
    activated, kernel, scale, z, mean, var = residuals
    g, wide = cotangents[0].astype(jnp.float32), z.astype(jnp.float32)
    count = z.size // z.shape[-1]
    inverse = lax.rsqrt(var + EPSILON)
    g_sum = g.sum((0, 1, 2))
    g_scale = ((g * wide).sum((0, 1, 2)) - mean * g_sum) * inverse
    # scale * inverse * (g - mean(g) - normalised * mean(g * normalised)), as one line.
    slope = scale * inverse
    along = slope * inverse * g_scale / count
    offset = along * mean - slope * g_sum / count
    g_z = _row(slope) * g - _row(along) * wide + _row(offset)
    _, pull = jax.vjp(functools.partial(convolution, stride=stride), activated, kernel)
    g_x, g_kernel = pull(g_z.astype(z.dtype))
    if activation:
        g_x = jnp.where(activated > 0, g_x, jnp.zeros_like(g_x))
    return g_x, g_kernel, g_scale, g_sum


convolution_norm.defvjp(_convolution_norm_forward, _convolution_norm_backward)


def normalised(x: Array, mean: Array, var: Array, scale: Array, bias: Array) -> Array:
    """Normalise by the statistics given, then scale and shift, in float32.

    Args:
      x: images.  # [B, H, W, F]
      mean: of every channel.  # [F] float32
      var: as `mean`.
      scale: as `mean`.
      bias: as `mean`.

    Returns:
      Images of the dtype of `x`.  # [B, H, W, F]
    """
    slope = lax.rsqrt(var + EPSILON) * scale
    wide = (x.astype(jnp.float32) - _row(mean)) * _row(slope) + _row(bias)
    return wide.astype(x.dtype)


def max_pool(x: Array, kernel: int, stride: int = 1) -> Array:
    """Take the largest value under a window, with "SAME" padding.

    The gradient goes to the first of equal winners, as XLA routes it.

    Args:
      x: images.  # [B, H, W, C]
      kernel: side of the window.
      stride: of the window.

    Returns:
      Pooled images.  # [B, H / stride, W / stride, C], rounded up
    """
    chex.assert_rank(x, 4)
    if _on_cpu():
        return _routed_max_pool(x, kernel, stride)
    return nn.max_pool(x, (kernel, kernel), (stride, stride), padding="SAME")


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _routed_max_pool(x: Array, kernel: int, stride: int) -> Array:
    return functools.reduce(jnp.maximum, _shifted(x, kernel, stride, -np.inf))


def _max_pool_forward(
    x: Array, kernel: int, stride: int
) -> tuple[Array, tuple[Array, Array]]:
    shifted = list(_shifted(x, kernel, stride, -np.inf))
    y = functools.reduce(jnp.maximum, shifted)
    # The index of the winner, in x's own dtype: comparisons of one width vectorise.
    none = np.asarray(len(shifted), x.dtype)
    places = (
        jnp.where(value == y, np.asarray(place, x.dtype), none)
        for place, value in enumerate(shifted)
    )
    winner = functools.reduce(jnp.minimum, places)
    return y, (winner.astype(jnp.int8), jnp.zeros((0, *x.shape[1:3]), jnp.int8))


def _max_pool_backward(
    kernel: int, stride: int, residuals: tuple[Array, Array], g: Array
) -> tuple[Array]:
    winner, like = residuals
    size = like.shape[1:3]
    gs = _unshifted(g, size, kernel, stride, 0)
    winners = _unshifted(winner, size, kernel, stride, -1)
    parts = (
        jnp.where(at == np.int8(place), part, np.zeros((), g.dtype))
        for place, (part, at) in enumerate(zip(gs, winners, strict=True))
    )
    return (functools.reduce(jnp.add, parts),)


_routed_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def average_pool(x: Array, kernel: int, stride: int = 1) -> Array:
    """Average the real pixels under a window; the "SAME" padding does not count.

    Args:
      x: images.  # [B, H, W, C]
      kernel: side of the window.
      stride: of the window.

    Returns:
      Pooled images.  # [B, H / stride, W / stride, C], rounded up
    """
    chex.assert_rank(x, 4)
    if _on_cpu():
        return _summed_average_pool(x, kernel, stride)
    window = (kernel, kernel), (stride, stride)
    pooled = nn.avg_pool(
        x.astype(jnp.float32), *window, padding="SAME", count_include_pad=False
    )
    return pooled.astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _summed_average_pool(x: Array, kernel: int, stride: int) -> Array:
    total = functools.reduce(jnp.add, _shifted(x, kernel, stride, 0.0))
    return total * _inverse_counts(x.shape[1:3], kernel, stride, x.dtype)


def _average_pool_forward(
    x: Array, kernel: int, stride: int
) -> tuple[Array, tuple[Array]]:
    like = jnp.zeros((0, *x.shape[1:3]), jnp.int8)
    return _summed_average_pool(x, kernel, stride), (like,)


def _average_pool_backward(
    kernel: int, stride: int, residuals: tuple[Array], g: Array
) -> tuple[Array]:
    size = residuals[0].shape[1:3]
    shared = g * _inverse_counts(size, kernel, stride, g.dtype)
    return (functools.reduce(jnp.add, _unshifted(shared, size, kernel, stride, 0)),)


_summed_average_pool.defvjp(_average_pool_forward, _average_pool_backward)


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _row(values: Array) -> Array:
    """Shape [F] to broadcast over images."""
    return values.reshape(1, 1, 1, -1)


def _matrix_product(x: Array, kernel: Array) -> Array:
    """Convolve with a 1x1 kernel."""
    product = x.reshape(-1, x.shape[-1]) @ kernel[0, 0]
    return product.reshape(*x.shape[:3], -1)


def _dense_convolution(x: Array, kernel: Array) -> Array:
    """Convolve small images as one product with the matrix of the convolution."""
    batch, height, width, channels = x.shape
    filters = kernel.shape[-1]
    taps = jnp.asarray(_taps(height, width, kernel.shape[0]), x.dtype)
    matrix = taps @ kernel.reshape(-1, channels * filters)
    cells = height * width
    matrix = matrix.reshape(cells, cells, channels, filters).transpose(0, 2, 1, 3)
    product = x.reshape(batch, -1) @ matrix.reshape(cells * channels, cells * filters)
    return product.reshape(batch, height, width, filters)


@functools.lru_cache(maxsize=64)
def _taps(height: int, width: int, kernel: int) -> np.ndarray:
    """Say which tap of the kernel joins an input cell to an output cell.

    Returns:
      One-hot rows, zero where no tap does.  # [(H W)^2, k^2], input cell first
    """

    def axis(size: int) -> np.ndarray:
        offset = np.arange(size)[:, None] - np.arange(size)[None, :] + kernel // 2
        return (offset[..., None] == np.arange(kernel)).astype(np.float32)

    joined = np.einsum("abi,cdj->acbdij", axis(height), axis(width))
    return joined.reshape((height * width) ** 2, kernel**2)


def _shifted(x: Array, kernel: int, stride: int, fill: float) -> Iterator[Array]:
    """Yield, for every cell of the window in row order, what lies under it."""
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
    """Yield, for every cell of the window in row order, the windows seen from there.

    For each image cell, the value of the window that has it under that cell of its own,
    or `fill` where there is none: `_shifted` turned around.
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
    """Return the cells before the first one, and the number of windows."""
    out = -(-size // stride)
    return max((out - 1) * stride + kernel - size, 0) // 2, out


def _inverse_counts(
    size: tuple[int, ...], kernel: int, stride: int, dtype: Any
) -> Array:
    """One over the number of real pixels under every window.  # [1, H, W, 1]."""
    counts = []
    for n in size:
        low, out = _same_padding(n, kernel, stride)
        first = np.arange(out) * stride - low
        counts.append(np.minimum(first + kernel, n) - np.maximum(first, 0))
    inverse = 1.0 / np.outer(*counts)
    return jnp.asarray(inverse[None, :, :, None], dtype)

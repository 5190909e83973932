"""Convolution and normalisation, in the forms that are fast on the CPU.

A form is chosen by backend and by shape when a function is traced, never by timing, so
that results repeat; all compute the same numbers up to rounding. Everything is NHWC.
`python -m launch.bench --parts=kernels` measures every form against the plain one.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array, lax

# Of normalisation (ours; the paper is silent).
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
    if stride == 1 and on_cpu():
        if kernel.shape[0] == 1:
            return _matrix_product(x, kernel)
        if kernel.shape[0] ** 2 > x.shape[1] * x.shape[2]:
            return _dense_convolution(x, kernel)
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def convolution_norm(
    x: Array,
    kernel: Array,
    scale: Array,
    bias: Array,
    activation: bool,
    stride: int,
    axis: str | None = None,
) -> tuple[Array, Array, Array]:
    """Apply ReLU if `activation`, convolve, and normalise by the batch.

    Ioffe and Szegedy, *Batch normalization*, 2015, and its gradient by hand: only what
    is convolved and the result are kept for the backward pass. No gradient flows
    through the statistics returned. Over a mapped axis, the batch is that of all
    replicas, and the gradient that of the sum of their losses.

    Args:
      x: images; their dtype is that of the computation.  # [B, H, W, C]
      kernel: weights, of the same dtype.  # [k, k, C, F]
      scale: of the normalised images.  # [F] float32
      bias: as `scale`.  # [F] float32
      activation: whether ReLU comes first.
      stride: of the convolution.
      axis: the mapped axis of replicas that share their statistics, if any do.

    Returns:
      Normalised images  # [B, H / stride, W / stride, F]
      and mean and biased variance of the convolved ones.  # [F] float32
    """
    return _convolution_norm_forward(x, kernel, scale, bias, activation, stride, axis)[
        0
    ]


def _convolution_norm_forward(
    x: Array,
    kernel: Array,
    scale: Array,
    bias: Array,
    activation: bool,
    stride: int,
    axis: str | None,
) -> tuple[tuple[Array, Array, Array], tuple[Array, ...]]:
    activated = nn.relu(x) if activation else x
    z = convolution(activated, kernel, stride)
    wide = z.astype(jnp.float32)
    mean, square = wide.mean((0, 1, 2)), jnp.square(wide).mean((0, 1, 2))
    if axis:
        mean, square = lax.pmean((mean, square), axis)
    var = jnp.maximum(square - jnp.square(mean), 0.0)
    y = normalised(z, mean, var, scale, bias)
    # Not `x`, from which backward would activate again while it transposes for the
    # kernel's gradient: XLA is slow at both at once.
    return (y, mean, var), (activated, kernel, scale, z, mean, var)


def _convolution_norm_backward(
    activation: bool,
    stride: int,
    axis: str | None,
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
    total, along_total = g_sum, g_scale
    if axis:
        total, along_total, count = lax.psum((g_sum, g_scale, count), axis)
    slope = scale * inverse
    along = slope * inverse * along_total / count
    offset = along * mean - slope * total / count
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


def on_cpu() -> bool:
    """Tell whether the default backend is the CPU."""
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

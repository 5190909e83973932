"""Kernels: convolution and normalisation, in the forms that are fast on the CPU.

A form is chosen by backend and shape when a function is traced, never by timing, so
results repeat. All forms compute the same numbers up to rounding. Images are NHWC.
`python -m launch.bench --parts=kernels` compares every form with the plain one.

Most convolutions are XLA's: with the flags of `bqnn.runtime` they reach 80 % to 95 % of
the rate of a matrix product. Sums of products of shifted slices were 3 to 6 times
slower. F is the number of filters, k the side of a kernel.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array, lax

from bqnn import runtime

# The epsilon of normalisation (ours; the paper is silent).
EPSILON = 1e-5


def convolution(x: Array, kernel: Array, stride: int = 1) -> Array:
    """Convolve with "SAME" padding.

    Args:
      x: images, `[B, H, W, C]`.
      kernel: weights, `[k, k, C, F]`.
      stride: of the window.

    Returns:
      Convolved images, `[B, H / stride, W / stride, F]`, rounded up.
    """
    chex.assert_rank([x, kernel], [4, 4])
    if _is_product(kernel, stride):
        return _convolve(_pixels(x), kernel, stride).reshape(*x.shape[:3], -1)
    return _convolve(x, kernel, stride)


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

    Ioffe and Szegedy, *Batch normalization*, 2015, with its gradient by hand: the
    backward pass keeps the input and the output of the convolution only. No gradient
    flows through the statistics returned. With an `axis`, the batch is that of all
    replicas, and the gradient is that of the sum of their losses; the statistics are
    two sums over the axis inside this function and its gradient, and cost no memory.

    Args:
      x: images, `[B, H, W, C]`, in the dtype of the computation.
      kernel: weights, `[k, k, C, F]`, in the same dtype.
      scale: factor of the normalised images, float32 `[F]`.
      bias: summand of the normalised images, float32 `[F]`.
      activation: whether ReLU comes first.
      stride: of the convolution.
      axis: the mapped axis of replicas that share their statistics, or None.

    Returns:
      Normalised images, `[B, H / stride, W / stride, F]`, and mean and biased variance
      of the convolved images, float32 `[F]` each.
    """
    chex.assert_rank([x, kernel], [4, 4])
    arguments = (kernel, scale, bias, activation, stride, axis)
    if not _is_product(kernel, stride):
        return _convolution_norm(x, *arguments)
    # One shape for the product and all around it. XLA would compute ReLU and gradient
    # twice, once as images and once as pixels (15.5 instead of 12.7 ms forward at
    # [128, 32, 32, 32]).
    y, mean, var = _convolution_norm(_pixels(x), *arguments)
    return y.reshape(*x.shape[:3], -1), mean, var


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def _convolution_norm(
    x: Array,
    kernel: Array,
    scale: Array,
    bias: Array,
    activation: bool,
    stride: int,
    axis: str | None,
) -> tuple[Array, Array, Array]:
    """Compute `convolution_norm` of images, `[B, H, W, C]`, or of pixels, `[N, C]`."""
    outputs, _ = _convolution_norm_forward(
        x, kernel, scale, bias, activation, stride, axis
    )
    return outputs


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
    z = _convolve(activated, kernel, stride)
    wide, pixels = z.astype(jnp.float32), _pixel_axes(z)
    mean, square = wide.mean(pixels), jnp.square(wide).mean(pixels)
    if axis:
        mean, square = lax.pmean((mean, square), axis)
    var = jnp.maximum(square - jnp.square(mean), 0.0)
    y = normalised(z, mean, var, scale, bias)
    # `activated` is kept, not `x`: backward transposes it for the gradient of the
    # kernel, and XLA is slow at a transposition fused with anything, such as ReLU (24
    # instead of 7 ms at [128, 32, 32, 32]).
    return (y, mean, var), (activated, kernel, scale, z, mean, var)


def _convolution_norm_backward(
    activation: bool,
    stride: int,
    axis: str | None,
    residuals: tuple[Array, ...],
    cotangents: tuple[Array, Array, Array],
) -> tuple[Array, ...]:
    """Compute the gradients of x, kernel, scale and bias.

    For every channel, with the sums over its N values in the batch, g = dL/dy and

        n = (z - mean) * inverse      inverse = 1 / sqrt(var + EPSILON)
        y = scale * n + bias          slope = scale * inverse

    the gradients are those of the paper of Ioffe and Szegedy,

        dL/dbias  = sum(g)
        dL/dscale = sum(g * n) = (sum(g * z) - mean * sum(g)) * inverse
        dL/dz     = slope * (g - sum(g) / N - n * sum(g * n) / N)

    With n written out, the last one takes three numbers per channel and one pass over
    the images:

        dL/dz     = slope * g - along * z + offset
        along     = slope * inverse * sum(g * n) / N
        offset    = along * mean - slope * sum(g) / N
    """
    activated, kernel, scale, z, mean, var = residuals
    g, wide = cotangents[0].astype(jnp.float32), z.astype(jnp.float32)
    count, pixels = z.size // z.shape[-1], _pixel_axes(z)
    inverse = lax.rsqrt(var + EPSILON)
    g_bias = g.sum(pixels)
    g_scale = ((g * wide).sum(pixels) - mean * g_bias) * inverse
    sum_g, sum_gn = g_bias, g_scale
    if axis:
        sum_g, sum_gn, count = lax.psum((g_bias, g_scale, count), axis)
    slope = scale * inverse
    along = slope * inverse * sum_gn / count
    offset = along * mean - slope * sum_g / count
    g_z = _row(slope, z) * g - _row(along, z) * wide + _row(offset, z)
    _, pullback = jax.vjp(
        functools.partial(_convolve, stride=stride), activated, kernel
    )
    g_x, g_kernel = pullback(g_z.astype(z.dtype))
    if activation:
        g_x = jnp.where(activated > 0, g_x, jnp.zeros_like(g_x))
    return g_x, g_kernel, g_scale, g_bias


_convolution_norm.defvjp(_convolution_norm_forward, _convolution_norm_backward)


def normalised(x: Array, mean: Array, var: Array, scale: Array, bias: Array) -> Array:
    """Normalise by the statistics given, then scale and shift, in float32.

    Args:
      x: images, `[B, H, W, F]`, or pixels, `[N, F]`.
      mean: mean of every channel, float32 `[F]`.
      var: variance of every channel, float32 `[F]`.
      scale: factor of every channel, float32 `[F]`.
      bias: summand of every channel, float32 `[F]`.

    Returns:
      An array of the shape and dtype of `x`.
    """
    slope = lax.rsqrt(var + EPSILON) * scale
    wide = (x.astype(jnp.float32) - _row(mean, x)) * _row(slope, x) + _row(bias, x)
    return wide.astype(x.dtype)


def _row(values: Array, x: Array) -> Array:
    """Reshape `[F]` to `[1, ..., 1, F]`, which broadcasts over `x`."""
    return values.reshape((1,) * (x.ndim - 1) + (-1,))


def _pixels(x: Array) -> Array:
    """Reshape images, `[B, H, W, C]`, to pixels, `[N, C]`."""
    return x.reshape(-1, x.shape[-1])


def _pixel_axes(x: Array) -> tuple[int, ...]:
    """List all axes but that of the channels."""
    return tuple(range(x.ndim - 1))


def _is_product(kernel: Array, stride: int) -> bool:
    """Tell whether a convolution is best computed as a product of pixels."""
    return kernel.shape[0] == 1 and stride == 1 and not runtime.accelerated()


def _convolve(x: Array, kernel: Array, stride: int) -> Array:
    """Convolve images, `[B, H, W, C]`, or pixels, `[N, C]`, these with a 1x1 kernel."""
    if x.ndim == 2:
        return x @ kernel[0, 0]
    is_small = kernel.shape[0] ** 2 > x.shape[1] * x.shape[2]
    if stride == 1 and is_small and not runtime.accelerated():
        return _dense_convolution(x, kernel)
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _dense_convolution(x: Array, kernel: Array) -> Array:
    """Convolve small images as one product with the matrix of the convolution.

    Quicker than XLA's where the kernel has more cells than the image, as in the last
    stages of 8x8 images (5x5 on 4x4: 3.2 ms against 29.5 ms).
    """
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
    """Mark the cell of the kernel that joins an input pixel to an output pixel.

    Returns:
      One-hot rows, zero where no cell does, float32 `[(H * W)**2, k**2]`; a row for
      every input pixel and, inside it, every output pixel.
    """

    def axis(size: int) -> np.ndarray:
        offset = np.arange(size)[:, None] - np.arange(size)[None, :] + kernel // 2
        return (offset[..., None] == np.arange(kernel)).astype(np.float32)

    joined = np.einsum("abi,cdj->acbdij", axis(height), axis(width))
    return joined.reshape((height * width) ** 2, kernel**2)

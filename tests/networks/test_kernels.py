"""Every kernel against the plain Flax form: values and gradients, over shapes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax import Array, lax

from bqnn.networks import kernels, pooling
from bqnn.networks.depthwise import depthwise_convolution

pytestmark = pytest.mark.quick_compilation

EXAMPLES = settings(max_examples=8)
SHAPES = st.tuples(*(st.integers(1, top) for top in (3, 9, 9, 5)))
DTYPES = st.sampled_from(["float32", "bfloat16"])
TOLERANCE = {"float32": 1e-4, "bfloat16": 4e-2}


def _draw(shape: tuple[int, ...], dtype: str, seed: int, levels: int = 0) -> Array:
    """Normal numbers, or whole ones of few `levels` so that windows have ties."""
    rng = np.random.default_rng(seed)
    if levels:
        return jnp.asarray(rng.integers(-levels, levels, shape), dtype)
    return jnp.asarray(rng.standard_normal(shape, np.float32), dtype)


def _pulled(function: Callable[..., Any], *inputs: Array) -> tuple[Array, Any]:
    """Value and gradients under one fixed cotangent."""

    def run(*inputs: Array) -> tuple[Array, Any]:
        output, pull = jax.vjp(function, *inputs)
        size = np.arange(output.size, dtype=np.float32).reshape(output.shape)
        return output, pull(jnp.asarray(np.cos(size), output.dtype))

    return jax.jit(run)(*inputs)


def _assert_equal(ours: Any, plain: Any, dtype: str) -> None:
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        assert one.dtype == other.dtype
        a, b = np.asarray(one, np.float32), np.asarray(other, np.float32)
        scale = np.abs(b).max() + 1e-6
        np.testing.assert_allclose(a / scale, b / scale, atol=TOLERANCE[dtype])


@EXAMPLES
@given(SHAPES, st.sampled_from([(3, 1), (2, 2), (3, 2)]), DTYPES)
@example((2, 32, 32, 3), (3, 1), "float32")
@example((2, 7, 5, 3), (2, 2), "bfloat16")
def test_max_pool(shape: Any, window: tuple[int, int], dtype: str) -> None:
    kernel, stride = window
    x = _draw(shape, dtype, 0, levels=3)

    def plain(x: Array) -> Array:
        window = (kernel, kernel), (stride, stride)
        return nn.max_pool(x, *window, padding="SAME")

    ours = _pulled(lambda x: pooling.max_pool(x, kernel, stride), x)
    _assert_equal(ours, _pulled(plain, x), dtype)


@settings(max_examples=4)
@given(SHAPES, st.sampled_from([3, 5]), DTYPES, st.booleans())
@example((4, 32, 24, 24), 3, "float32", True)  # in several parts
@example((2, 8, 8, 3), 5, "bfloat16", True)
def test_depthwise_convolution(
    shape: Any, size: int, dtype: str, activation: bool
) -> None:
    x = _draw(shape, dtype, 0)
    kernel = _draw((size, size, 1, shape[-1]), dtype, 1)

    def plain(x: Array, kernel: Array) -> Array:
        return lax.conv_general_dilated(
            nn.relu(x) if activation else x,
            kernel,
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=shape[-1],
        )

    ours = _pulled(lambda x, k: depthwise_convolution(x, k, activation), x, kernel)
    _assert_equal(ours, _pulled(plain, x, kernel), dtype)


def test_max_pool_gives_the_gradient_to_the_first_winner() -> None:
    x = jnp.zeros((1, 4, 4, 1))
    grad = jax.grad(lambda x: pooling.max_pool(x, 2, 2).sum())(x)[0, :, :, 0]
    assert grad.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


@EXAMPLES
@given(SHAPES, st.sampled_from([(3, 1), (2, 2), (3, 2)]), DTYPES)
@example((2, 16, 16, 3), (3, 1), "bfloat16")
def test_average_pool(shape: Any, window: tuple[int, int], dtype: str) -> None:
    kernel, stride = window
    x = _draw(shape, dtype, 1)

    def plain(x: Array) -> Array:
        window = (kernel, kernel), (stride, stride)
        x = x.astype(jnp.float32)
        y = nn.avg_pool(x, *window, padding="SAME", count_include_pad=False)
        return y.astype(dtype)

    ours = _pulled(lambda x: pooling.average_pool(x, kernel, stride), x)
    _assert_equal(ours, _pulled(plain, x), dtype)


def _plain_convolution(x: Array, kernel: Array, stride: int = 1) -> Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=numbers
    )


@EXAMPLES
@given(SHAPES, st.sampled_from([1, 3, 5]), DTYPES)
@example((3, 2, 2, 4), 3, "float32")  # a dense matrix
@example((3, 4, 3, 2), 5, "bfloat16")  # the same, not square
@example((2, 8, 8, 3), 1, "float32")  # a matrix product
def test_convolution(shape: Any, kernel: int, dtype: str) -> None:
    x = _draw(shape, dtype, 2)
    weights = _draw((kernel, kernel, shape[-1], 3), dtype, 3)
    ours = _pulled(kernels.convolution, x, weights)
    _assert_equal(ours, _pulled(_plain_convolution, x, weights), dtype)


@EXAMPLES
@given(
    st.tuples(st.integers(2, 4), st.integers(2, 8), st.integers(2, 8), st.just(3)),
    st.sampled_from([(1, 1), (3, 1), (7, 2)]),
    st.booleans(),
    DTYPES,
)
@example((4, 8, 8, 3), (3, 1), True, "float32")
@example((4, 8, 8, 3), (3, 1), True, "bfloat16")
def test_convolution_norm(
    shape: Any, window: tuple[int, int], activation: bool, dtype: str
) -> None:
    kernel, stride = window
    x = _draw(shape, dtype, 4)
    weights = _draw((kernel, kernel, 3, 4), dtype, 5)
    scale, bias = _draw((4,), "float32", 6), _draw((4,), "float32", 7)

    def plain(x: Array, weights: Array, scale: Array, bias: Array) -> Array:
        z = _plain_convolution(nn.relu(x) if activation else x, weights, stride)
        norm = nn.BatchNorm(use_running_average=False, epsilon=1e-5, dtype=z.dtype)
        variables = {
            "params": {"scale": scale, "bias": bias},
            "batch_stats": {"mean": jnp.zeros(4), "var": jnp.ones(4)},
        }
        with jax.numpy_dtype_promotion("standard"):  # as flax's BatchNorm needs
            y: Any = norm.apply(variables, z, mutable=["batch_stats"])
        output: Array = y[0]
        return output

    def ours(x: Array, weights: Array, scale: Array, bias: Array) -> Array:
        return kernels.convolution_norm(x, weights, scale, bias, activation, stride)[0]

    _assert_equal(
        _pulled(ours, x, weights, scale, bias),
        _pulled(plain, x, weights, scale, bias),
        dtype,
    )


def test_convolution_norm_returns_the_statistics_of_the_batch() -> None:
    x, weights = _draw((4, 5, 5, 2), "float32", 8), _draw((1, 1, 2, 3), "float32", 9)
    z = np.asarray(_plain_convolution(x, weights))
    _, mean, var = kernels.convolution_norm(
        x, weights, jnp.ones(3), jnp.zeros(3), False, 1
    )
    np.testing.assert_allclose(mean, z.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(var, z.var((0, 1, 2)), atol=1e-5)


@pytest.mark.parametrize("function", [pooling.max_pool, pooling.average_pool])
def test_a_rank_that_is_no_image_is_refused(function: Any) -> None:
    with pytest.raises(AssertionError):
        function(jnp.zeros((4, 4, 1)), 3)

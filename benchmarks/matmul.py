"""Matrix products: the rate of large ones, as the peak rate of a machine."""

import time

import jax
import jax.numpy as jnp


def rate(size: int = 1024, repeats: int = 8, dtype: str = "float32") -> float:
    """Measure matrix products.

    Args:
      size: side of the square matrices.
      repeats: the fastest of so many is returned.
      dtype: of the matrices.

    Returns:
      Floating-point operations per second, a multiply-add counted as two.
    """
    a = jnp.ones((size, size), jnp.dtype(dtype))
    product = jax.jit(jnp.matmul)
    product(a, a).block_until_ready()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        product(a, a).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best

"""Numerics: JAX options that decide results, pinned against the environment.

A search must be replayed under `JAX_ENABLE_X64=1` or `JAX_THREEFRY_PARTITIONABLE=0` as
it was made. So agents, evaluations and full trainings run inside `pinned()`, and the
options of the process stay as its user set them.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

_OPTIONS: tuple[Callable[[], AbstractContextManager[object]], ...] = (
    # They change numbers.
    lambda: jax.enable_x64(False),
    lambda: jax.threefry_partitionable(True),
    lambda: jax.default_prng_impl("threefry2x32"),
    lambda: jax.default_matmul_precision(None),
    # They turn what is meant, such as -inf or a loss that diverged, into exceptions.
    lambda: jax.debug_nans(False),
    lambda: jax.debug_infs(False),
    lambda: jax.transfer_guard("allow"),
    # The strictest there is, under which the tests run, changes no number.
    lambda: jax.numpy_dtype_promotion("strict"),
    lambda: jax.numpy_rank_promotion("raise"),
    # Operation by operation, no program would be as it was compiled.
    lambda: jax.disable_jit(False),
)


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """Pin the options for this thread, inside a `with` or as a decorator."""
    with contextlib.ExitStack() as stack:
        for option in _OPTIONS:
            stack.enter_context(option())
        yield


def seed_key(seed: ArrayLike) -> Array:
    """Make the key of a seed, as plain bits: uint32 `[2]`.

    What `jax.random.key` makes of a seed below 2**32, without `jax_random_seed_offset`,
    which cannot be pinned.
    """
    return jnp.stack([jnp.uint32(0), jnp.asarray(seed).astype(jnp.uint32)])

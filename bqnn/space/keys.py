"""Keys: rows of integers as 32-bit hashes and as marks, the same on every machine."""

import jax.numpy as jnp
from jax import Array


def row_key(row: Array) -> Array:
    """Hash integers from -1 on (FNV-1a), uint32 `[]`."""
    key = jnp.uint32(2166136261)
    for value in row:
        key = (key ^ (value + 1).astype(jnp.uint32)) * jnp.uint32(16777619)
    return key


def mixed(bits: Array) -> Array:
    """Mix every word (the finaliser of MurmurHash3), so that sums of words differ."""
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * jnp.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)


def one_hot(actions: Array, count: int) -> Array:
    """Mark every decision of a row, int32 `[T * count]`."""
    return (actions[:, None] == jnp.arange(count)[None]).astype(jnp.int32).ravel()

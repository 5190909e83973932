"""Progress of a warm-up, for those who show it and need no jax."""

from typing import NamedTuple


class WarmUpProgress(NamedTuple):
    """Progress of a warm-up: programs compiled, and programs in all."""

    done: int
    total: int

"""Progress of a warm-up, in a module that imports no jax."""

from typing import NamedTuple


class WarmUpProgress(NamedTuple):
    """Progress of a warm-up: programs compiled, and programs in all."""

    done: int
    total: int

"""The epsilon schedule as data: `epsilon:iterations` pairs (the paper, table 2)."""

import itertools
import re
from typing import NamedTuple

from bqnn.errors import ConfigError, quote

PAPER = "1.0:95,0.9:7,0.8:7,0.7:7,0.6:10,0.5:10,0.4:10,0.3:10,0.2:10,0.1:12"
# Python writes what is below 0.0001 with an exponent. Lengths are limited, or a long
# row of digits would take a regular expression for ever.
_STEP = re.compile(
    r"\s*([0-9]{0,20}\.?[0-9]{1,40}(?:[eE]-?[0-9]{1,3})?)\s*:\s*([0-9]{1,6})\s*"
)

MOST_ITERATIONS = 1_000_000
"""Iterations of a schedule (the paper: 178)."""


class Schedule(NamedTuple):
    """Epsilon of every iteration.

    Attributes:
      epsilons: one value in [0, 1] per iteration.
    """

    epsilons: tuple[float, ...]

    @property
    def iterations(self) -> int:
        """The number of iterations."""
        return len(self.epsilons)

    def __str__(self) -> str:
        """Write it as `parse` reads it."""
        runs = ((e, len(list(same))) for e, same in itertools.groupby(self.epsilons))
        return ",".join(f"{epsilon}:{count}" for epsilon, count in runs)


def parse(text: str) -> Schedule:
    """Read a schedule such as `1.0:95,0.9:7`.

    Raises:
      ConfigError: if a part is not `epsilon:iterations` with epsilon in [0, 1] and at
        least one iteration, or if there are more than `MOST_ITERATIONS`.
    """
    epsilons: list[float] = []
    for part in text.split(","):
        match = _STEP.fullmatch(part)
        if not match or float(match[1]) > 1 or int(match[2]) < 1:
            raise ConfigError(
                f"agent.schedule: {quote(part)} is not 'epsilon:iterations' "
                "(for example 1.0:95,0.9:7)"
            )
        epsilons += [float(match[1])] * int(match[2])
        _check_length(len(epsilons))
    return Schedule(tuple(epsilons))


def stretched(text: str, iterations: int) -> Schedule:
    """Read a schedule and spread its epsilons over so many iterations.

    Raises:
      ConfigError: as `parse` does.
    """
    _check_length(iterations)
    epsilons = parse(text).epsilons
    indices = (k * len(epsilons) // iterations for k in range(iterations))
    return Schedule(tuple(epsilons[index] for index in indices))


def _check_length(iterations: int) -> None:
    if iterations > MOST_ITERATIONS:
        raise ConfigError(
            f"agent.schedule has {iterations:,} iterations or more: want at most "
            f"{MOST_ITERATIONS:,}"
        )

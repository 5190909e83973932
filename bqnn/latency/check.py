"""Check: latencies foretold by a table, against whole networks that were measured."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn.stats import Correlation, correlation

Floats = NDArray[np.float64]


class Check(NamedTuple):
    """Latencies of N networks, in milliseconds.

    Attributes:
      measured: of the whole networks, float64 `[N]`.
      totals: what their units add up to, float64 `[N]`.
      offset, factor: of the line that foretells the measured ones best.
    """

    measured: Floats
    totals: Floats
    offset: float
    factor: float

    @property
    def foretold(self) -> Floats:
        """What the line foretells, float64 `[N]`."""
        return self.offset + self.factor * self.totals

    @property
    def ranks(self) -> Correlation:
        """How the table ranks the networks."""
        return correlation(self.totals.tolist(), self.measured.tolist())


def check(totals: Sequence[float], measured: Sequence[float]) -> Check:
    """Fit a line that foretells latencies, with the smallest relative errors.

    Args:
      totals: what the units of each network add up to, in milliseconds.
      measured: latencies of the whole networks, in milliseconds.
    """
    x, y = np.asarray(totals, np.float64), np.asarray(measured, np.float64)
    columns = np.stack([np.ones_like(x), x], axis=1) / y[:, None]
    (offset, factor), *_ = np.linalg.lstsq(columns, np.ones_like(y))
    if offset < 0 or factor < 0:
        # No network takes less than nothing: a line through the origin.
        offset, factor = 0.0, float(np.sum(x / y) / np.sum((x / y) ** 2))
    return Check(y, x, float(offset), float(factor))


def errors(foretold: Floats, measured: Floats) -> tuple[float, float]:
    """Return the median and the 95th percentile of relative errors."""
    relative = abs(foretold / measured - 1)
    return float(np.median(relative)), float(np.percentile(relative, 95))

"""Batches: the indices of the images of every step."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Batches(NamedTuple):
    """The images of every step.

    Attributes:
      indices: of images in the data set, int32 `[S, B]`.
      mask: False where an image is padding, bool `[S, B]`.
    """

    indices: NDArray[np.int32]
    mask: NDArray[np.bool_]


def epoch_batches(total: int, batch: int, seed: int, epoch: int) -> Batches:
    """Draw each of `total` images once; a last partial batch is dropped (ours)."""
    rng = np.random.Generator(np.random.Philox([seed, epoch]))
    order = rng.permutation(total).astype(np.int32)
    indices = order[: total // batch * batch].reshape(-1, batch)
    return Batches(indices, np.ones(indices.shape, bool))


def all_batches(total: int, batch: int) -> Batches:
    """Read each of `total` images once, in order; the last batch is padded."""
    indices = np.arange(-(-total // batch) * batch, dtype=np.int32).reshape(-1, batch)
    return Batches(np.minimum(indices, np.int32(total - 1)), indices < total)

"""NAS-Bench-201: its space as a decision process (Dong and Yang, ICLR 2020).

A cell has six edges, each with one of five operations. A step chooses the operation of
one edge, in the order of the benchmark's strings. The state is the edge and the
operation before it.
"""

import functools
import operator
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bqnn.errors import NscError, quote
from bqnn.space.actions import Int32, Space
from bqnn.space.categorical import categorical_arrays

if TYPE_CHECKING:  # jax, which is slow to import
    from jax import Array

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0,), (0, 1), (0, 1, 2))
"""The nodes that each node reads."""

# The network of the benchmark, for 32x32 images in 10 classes: a stem of 16 filters,
# then five cells at each of 16, 32 and 64, with a residual block between. Without any
# operation in its cells, and what an operation adds if all 15 cells have it.
_BARE = np.array([73_306, 7_783_040])
_OPERATION = np.array(
    [[0, 0], [0, 0], [28_000, 3_932_160], [243_040, 35_389_440], [0, 0]]
)

_PAIRS = [(i, j + 1) for j, nodes in enumerate(EDGES) for i in nodes]
_NUM_EDGES = len(_PAIRS)
_EDGE = re.compile(r"([a-z0-9_]+)~[0-2]")


class CellCosts(NamedTuple):
    """Costs of N cells; edges without effect are left out, in networks too.

    Attributes:
      params: trainable parameters of the network, int64 `[N]`.
      flops: multiply-adds of the network for one image, int64 `[N]`.
      density: edges over nodes that they join, float64 `[N]`.
    """

    params: Int64
    flops: Int64
    density: Float64


class NasBench201Space:
    """The space of cells, as strings of the benchmark: `|op~0|+|op~0|op~1|+...`."""

    @functools.cached_property
    def arrays(self) -> Space:
        """The space as the arrays that learners use."""
        return categorical_arrays([len(OPERATIONS)] * _NUM_EDGES, _computed)

    def decode(self, actions: Sequence[int] | Int32) -> str:
        """Return the string of the cell with these operations, int32 `[6]`."""
        chosen = iter(actions)
        return "+".join(
            "|" + "".join(f"{OPERATIONS[next(chosen)]}~{node}|" for node in nodes)
            for nodes in EDGES
        )

    def encode(self, cell: str) -> Int32:
        """Return the operation of every edge of a cell, int32 `[6]`.

        Raises:
          NscError: if `cell` is not the string of a cell.
        """
        found = _EDGE.findall(cell)
        known = [OPERATIONS.index(op) for op in found if op in OPERATIONS]
        if len(known) != _NUM_EDGES or self.decode(known) != cell:
            raise NscError(f"{quote(cell)} is not a cell of NAS-Bench-201")
        return np.array(known, np.int32)

    def key(self, cell: str) -> str:
        """Return the key of a cell in a table: the string itself."""
        return cell


def cell_costs(actions: Int32) -> CellCosts:
    """Work out what cells cost.

    Args:
      actions: operations of their edges, int32 `[N, 6]`.
    """
    import jax

    computed = np.asarray(jax.jit(jax.vmap(_computed))(actions))
    params, flops = (_BARE + _OPERATION[computed].sum(axis=1)).T
    there = computed != 0
    ends = np.zeros((len(actions), len(EDGES) + 1), bool)
    ends[:, [0, -1]] = True  # input and output are nodes of every cell
    for edge, (start, end) in enumerate(_PAIRS):
        ends[:, start] |= there[:, edge]
        ends[:, end] |= there[:, edge]
    return CellCosts(params, flops, there.sum(axis=1) / ends.sum(axis=1))


def _computed(actions: "Array") -> "Array":
    """Replace the operation of every edge that has no effect by `none`, int32 `[6]`.

    An edge has an effect if its node can be reached from the input, and the node that
    it leads to reaches the output.
    """
    from jax import numpy as jnp

    edges = _PAIRS
    passes = dict(zip(edges, actions != 0, strict=True))
    fed, read = {0: jnp.bool_(True)}, {len(EDGES): jnp.bool_(True)}
    for node in range(1, len(EDGES) + 1):
        ways = [passes[i, j] & fed[i] for i, j in edges if j == node]
        fed[node] = functools.reduce(operator.or_, ways)
    for node in reversed(range(len(EDGES))):
        ways = [passes[i, j] & read[j] for i, j in edges if i == node]
        read[node] = functools.reduce(operator.or_, ways)
    effective = jnp.stack([fed[i] & read[j] for i, j in edges])
    return jnp.where(effective, actions, 0)

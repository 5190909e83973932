"""Layer types: what the layers of a block can be, in one table (the paper, table 1).

Space, plan, costs, drawings and pages read it; `bqnn.networks.layers` has the module of
every operation of ours. `bqnn.own_layers` adds layers of the user's own.
"""

import enum
from collections.abc import Iterable
from typing import Any, NamedTuple

from bqnn.errors import ConfigError, UnknownLayerError, quote


class LayerType(enum.IntEnum):
    """The numbers of the layer types: those of table 1, and ours from 8 on."""

    CONVOLUTION = 1
    MAX_POOLING = 2
    AVERAGE_POOLING = 3
    IDENTITY = 4
    ADD = 5
    CONCAT = 6
    TERMINAL = 7
    SEPARABLE_CONVOLUTION = 8


class LayerKind(NamedTuple):
    """A row of the table: one layer type.

    Attributes:
      code: the number of the type in the code of a layer.
      name: as `space.types` has it.
      kernels: the kernels that a layer can have; 0 if there is no window.
      num_predecessors: how many layers it reads. Their order does not matter.
      op: the operation of its node in a plan.
      colour: of its boxes in drawings.
      passing: the kernels with which it only passes its input on.
      products: how many 1x1 convolutions of one width it costs, by kernel, rounded;
        empty for a type that is no convolution.
      module: of a layer of the user's own: makes its Flax module (`register_layer`).
      cost: of a layer of the user's own: counts what it costs.
    """

    code: int
    name: str
    kernels: tuple[int, ...]
    num_predecessors: int
    op: str
    colour: str
    passing: tuple[int, ...] = ()
    products: tuple[int, ...] = ()
    module: Any = None
    cost: Any = None

    @property
    def title(self) -> str:
        """The name of the type, as in messages and drawings."""
        return self.name.replace("_", " ").capitalize()


_T = LayerType
# The colours are Okabe and Ito's: colour-blind readers tell them apart.
_TABLE = (
    LayerKind(
        *(_T.CONVOLUTION, "convolution", (1, 3, 5), 1, "pcc", "#56B4E9"),
        products=(1, 9, 25),
    ),
    LayerKind(
        *(_T.MAX_POOLING, "max_pooling", (1, 3), 1, "max_pool", "#E69F00"),
        passing=(1,),
    ),
    LayerKind(
        *(_T.AVERAGE_POOLING, "average_pooling", (1, 3), 1, "average_pool", "#F0E442"),
        passing=(1,),
    ),
    LayerKind(*(_T.IDENTITY, "identity", (0,), 1, "identity", "#DDDDDD"), passing=(0,)),
    LayerKind(_T.ADD, "add", (0,), 2, "add", "#009E73"),
    LayerKind(_T.CONCAT, "concat", (0,), 2, "concat", "#CC79A7"),
    # Its kernel is no window: it says how blocks are connected (`Block.wiring`).
    LayerKind(_T.TERMINAL, "terminal", (0, 1, 2), 0, "", "#FFFFFF"),
    LayerKind(
        *(_T.SEPARABLE_CONVOLUTION, "separable_convolution", (3, 5), 1),
        *("separable", "#D55E00"),
        products=(1, 1),
    ),
)

# Keys are plain integers, which hash faster than enums: the master looks up a thousand
# per candidate.
TYPES = {int(kind.code): kind for kind in _TABLE}
"""The table: layer types by their number."""

FOR_OWN = "if it is a layer of your own, give --layers=MODULE, which registers it"
"""How to mend that a layer is not known."""

PAPER_TYPES = tuple(kind.name for kind in _TABLE[: LayerType.TERMINAL - 1])
"""The names of the types of table 1, without the Terminal."""


def named(names: Iterable[str]) -> tuple[LayerKind, ...]:
    """Return the types of some names, by number, and the Terminal, the last.

    Raises:
      ConfigError: if a name is twice there, or no type can begin a block.
      UnknownLayerError: if a name is unknown.
    """
    known = {kind.name: kind for kind in TYPES.values() if kind.num_predecessors}
    names = tuple(names)
    for name in names:
        if name not in known:
            want = f"want some of {', '.join(known)}; {FOR_OWN}"
            raise UnknownLayerError(f"space.types has {quote(name)}: {want}")
    kinds = sorted({known[name] for name in names})
    if len(kinds) < len(names):
        raise ConfigError(f"space.types is {quote(names)}: want every type once")
    if all(kind.num_predecessors > 1 for kind in kinds):
        want = "want a type that reads one layer, to begin a block with"
        raise ConfigError(f"space.types is {quote(names)}: {want}")
    return (*kinds, TYPES[LayerType.TERMINAL])


OWN = "own:"
"""Begins the operation of a layer of the user's own."""


def is_own(op: str) -> bool:
    """Tell whether an operation is that of a layer of the user's own."""
    return op.startswith(OWN)


def own_kind(op: str) -> LayerKind:
    """Return the layer of the user's own that an operation belongs to."""
    return next(kind for kind in TYPES.values() if kind.op == op)

"""Layer types: what the layers of a block can be, in one table (the paper, table 1).

Space, plan, costs, drawings and pages read it; `bqnn.networks.layers` has the module of
every operation of ours. `register_layer` adds a layer of the user's own. Nothing is
imported because a journal or a configuration names it.
"""

import enum
import importlib.metadata
import pickle
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
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


_OWN = "own:"
"""Begins the operation of a layer of the user's own."""
_GROUP = "bqnn.layers"
"""The entry points of installed packages that register layers."""


def register_layer(
    name: str,
    code: int,
    module: Callable[..., Any],
    cost: Callable[..., tuple[int, int, int]],
    *,
    kernels: tuple[int, ...] = (0,),
    num_predecessors: int = 1,
    colour: str = "#BBBBBB",
) -> None:
    """Add a layer of your own to the table, for `space.types`, blocks and networks.

    >>> bqnn.register_layer("gate", 20, Gate, gate_cost, kernels=(3,))

    Worker processes import the module that defines `module` and `cost`.

    Args:
      name: lower-case letters, digits and underscores.
      code: its number in the code of a block, 9 to 999.
      module: usually a class: (filters, kernel, dtype, axis, name, by keyword) -> a
        Flax module, that maps one or two `[B, H, W, C]` and `train` to
        `[B, H, W, filters]`. Its parameters are float32. Normalisation over replicas
        sums over the mapped `axis`, if it is not None.
      cost: (kernel, filters, channels of each input, H, W) -> parameters, multiply-adds
        for an image, numbers per image that the backward pass keeps.
      kernels: the kernels that it can have, 0 to 7.
      num_predecessors: 1, or 2, whose order must not matter.
      colour: of its boxes, as #RRGGBB.

    Raises:
      ConfigError: if a value is none of these, or name or number belong to another.
        Where a network with the layer is made: if the module is not as above.
    """
    kernels, op = tuple(kernels), _OWN + name
    kind = LayerKind(
        code, name, kernels, num_predecessors, op, colour, module=module, cost=cost
    )
    _check(kind)
    _check_cost(kind)
    TYPES[code] = kind


def _check(kind: LayerKind) -> None:
    """Check a layer of the user's own, and that name and number are free."""
    code, name, kernels, count = (
        kind.code,
        kind.name,
        kind.kernels,
        kind.num_predecessors,
    )
    for what, ok, want in (
        ("name", re.fullmatch("[a-z][a-z0-9_]{0,39}", name), "a word in a-z_"),
        ("code", type(code) is int and 9 <= code < 1000, "a number from 9 to 999"),
        ("kernels", kernels and {*kernels} <= {*range(8)}, "some of 0 to 7"),
        ("num_predecessors", count in (1, 2), "1 or 2"),
        ("colour", re.fullmatch("#[0-9A-Fa-f]{6}", kind.colour), "#RRGGBB"),
        ("module", callable(kind.module), "a class of Flax modules"),
        ("cost", callable(kind.cost), "a function"),
    ):
        if not ok:
            value = quote(getattr(kind, what))
            raise ConfigError(f"layer {quote(name)}: {what} {value}: want {want}")
    for other in TYPES.values():
        if other != kind and (other.code == code or other.name == name):
            raise ConfigError(
                f"layer {quote(name)}, {code}: there is {other.name}, {other.code}: "
                "want another name and number"
            )


def _check_cost(kind: LayerKind) -> None:
    """Try the cost of a layer of the user's own, with each of its kernels."""
    for kernel in kind.kernels:
        given = kernel, 8, (8,) * kind.num_predecessors, 4, 4
        try:
            found = kind.cost(*given)
            if [type(number) for number in found] == [int] * 3 and min(found) >= 0:
                continue
            what = quote(found)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"layer {quote(kind.name)}: cost{given} gives {what}: want parameters, "
            "multiply-adds and numbers kept, integers from 0"
        )


def is_own(op: str) -> bool:
    """Tell whether an operation is that of a layer of the user's own."""
    return op.startswith(_OWN)


def own_kind(op: str) -> LayerKind:
    """Return the layer of the user's own that an operation belongs to."""
    return next(kind for kind in TYPES.values() if kind.op == op)


def own_source(op: str) -> str:
    """Return the text of the file of a layer of the user's own; empty for ours."""
    if not is_own(op):
        return ""
    file = getattr(sys.modules.get(str(own_kind(op).module.__module__)), "__file__", "")
    return Path(file).read_text(encoding="utf-8") if file else ""


def load_layers(modules: Iterable[str]) -> None:
    """Register layers of the user's own: those of packages installed, and of modules.

    Raises:
      ConfigError: if one cannot be imported.
    """
    names = [
        e.value.partition(":")[0] for e in importlib.metadata.entry_points(group=_GROUP)
    ]
    for name in (*names, *modules):
        try:
            importlib.import_module(name)
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:
            is_name = all(part.isidentifier() for part in name.split("."))
            file = not is_name or name.endswith(".py")
            want = ": want its name, as in gate for the file gate.py" if file else ""
            raise ConfigError(
                f"module of layers {quote(name)} cannot be imported: "
                f"{type(error).__name__}: {error}{want}"
            ) from error


def packed() -> bytes:
    """Pack the layers of the user's own for a worker process, which imports them.

    Raises:
      ConfigError: if one is where a process cannot import it.
    """
    own = [kind for kind in TYPES.values() if kind.module]
    for kind in own:
        if "__main__" in (kind.module.__module__, kind.cost.__module__):
            raise ConfigError(
                f"layer {quote(kind.name)} is defined in the main program, which "
                "workers cannot import: want a module of its own"
            )
    try:
        return pickle.dumps(own)
    except Exception as error:
        raise ConfigError(
            f"layers of your own cannot be sent to workers ({error}): want a class and "
            "a function that have names in their module"
        ) from error


def unpack(layers: bytes) -> None:
    """Register the layers that the process of this worker's master has packed.

    Raises:
      ConfigError: if this process cannot import one.
    """
    try:
        own = pickle.loads(layers)
    except Exception as error:
        raise ConfigError(
            "a worker cannot import a layer of your own "
            f"({type(error).__name__}: {error}): want its module on every machine"
        ) from error
    TYPES.update({kind.code: kind for kind in own})

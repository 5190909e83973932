"""Own layers: layers of the user's own in the table of layer types, and in workers.

A module registers them. Nothing is imported because a journal or a configuration names
it.
"""

import importlib.metadata
import pickle
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bqnn.errors import ConfigError, quote
from bqnn.layer_types import OWN, TYPES, LayerKind, is_own, own_kind

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
    kernels, op = tuple(kernels), OWN + name
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

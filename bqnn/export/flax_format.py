"""The `flax` format: weights, and a copy of `standalone` with the network filled in."""

import math
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import serialization, traverse_util

from bqnn import files
from bqnn.errors import quote, shortened
from bqnn.export import inference, manifest, standalone
from bqnn.export.manifest import ExportError
from bqnn.export.standalone import Node
from bqnn.final.model import Model
from bqnn.layer_types import is_own, own_kind
from bqnn.networks.network import Variables, abstract_variables

_BEGIN, _END = "# --- the network ---\n", "# --- end of the network ---\n"
_DEFAULTS = Node._field_defaults
# Bytes allowed for the names, shape and dtype of one array.
_HEADER = 1000


def write(model: Model, folder: Path) -> None:
    """Write the code and the weights."""
    variables = jax.tree.map(np.asarray, dict(model.variables))
    weights = serialization.msgpack_serialize(variables)
    (folder / standalone.WEIGHTS).write_bytes(weights)
    code = folder / manifest.FILES["flax"]
    code.write_text(source(model), encoding="utf-8")


def read_weights(folder: Path, model: Model) -> Variables:
    """Read exactly the weights that the plan of a network needs.

    Args:
      folder: an export, perhaps from others.
      model: the network of its manifest.

    Returns:
      `params` and `batch_stats`, trees of NumPy arrays.

    Raises:
      ExportError: if a name, shape or dtype differs from the plan's.
      OSError: if the file cannot be read.
      Exception: whatever msgpack raises if it is damaged.
    """
    wanted = traverse_util.flatten_dict(dict(abstract_variables(model.plan)))
    nbytes = sum(4 * math.prod(leaf.shape) for leaf in wanted.values())
    content = files.read_bytes(
        folder / standalone.WEIGHTS, nbytes + _HEADER * (1 + len(wanted))
    )
    # It restores plain arrays: no pickles, and no more memory than the file has bytes.
    variables = serialization.msgpack_restore(content)
    found = traverse_util.flatten_dict(variables)
    for path in sorted(wanted.keys() | found.keys(), key=str):
        got, want = _describe(found.get(path)), _describe(wanted.get(path))
        if got != want:
            raise ExportError(
                f"{folder / standalone.WEIGHTS}: {shortened('/'.join(map(str, path)))} "
                f"is {got}, want {want}: export the network again"
            )
    return variables


def run(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Run the code of an export as a user does; only for an export just written.

    Returns:
      Its function of images, uint8 `[B, H, W, C]`, to logits, float32 `[B, K]`.
    """
    path = folder / manifest.FILES["flax"]
    # An import would leave a __pycache__ in the export.
    module = types.ModuleType("bqnn_exported_model")
    module.__file__ = str(path)
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    logits: Callable[[np.ndarray], np.ndarray] = module.logits
    return logits


def source(model: Model) -> str:
    """Return the text of `bqnn.export.standalone` with the model filled in."""
    text = Path(standalone.__file__).read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return "".join([before, _BEGIN, *_assignments(model), _END, after])


def _assignments(model: Model) -> Iterator[str]:
    planned = model.plan.nodes
    yield f"# {model.block}\n"
    yield "NODES: tuple[Node, ...] = (\n"
    yield from (f"    {_node(node)},\n" for node in inference.nodes(model.plan))
    yield ")\n"
    yield "CLASS_NAMES: tuple[str, ...] = (\n"
    yield from (f"    {name!r},\n" for name in model.class_names)
    yield ")\n"
    yield f"IMAGE_SHAPE = {model.images[:3]}  # height, width, channels\n"
    yield f"MEAN = {tuple(model.mean.tolist())}  # by channel, in units of pixels\n"
    yield f"STD = {tuple(model.std.tolist())}\n"
    yield f'DTYPE = "{model.dtype}"\n'
    kinds = [own_kind(op) for op in sorted({n.op for n in planned if is_own(n.op)})]
    for module in (kind.module for kind in kinds):
        yield f"from {module.__module__} import {module.__qualname__}  # noqa: E402\n"
    own = ", ".join(f'"{kind.op}": {kind.module.__qualname__}' for kind in kinds)
    yield f"OWN: dict[str, Callable[..., nn.Module]] = {{{own}}}\n"


def _node(node: Node) -> str:
    """Write a node as code, without the fields that have their defaults."""
    inputs = ", ".join(f'"{name}"' for name in node.inputs)
    comma = "," if len(node.inputs) == 1 else ""
    given = "".join(
        f", {name}={getattr(node, name)}"
        for name, default in _DEFAULTS.items()
        if getattr(node, name) != default
    )
    return f'Node("{node.name}", "{node.op}", ({inputs}{comma}){given})'


def _describe(leaf: Any) -> str:
    if leaf is None:
        return "not there"
    if not isinstance(leaf, np.ndarray | jax.ShapeDtypeStruct):
        return quote(type(leaf).__name__)
    return f"{leaf.dtype} of shape {leaf.shape}"

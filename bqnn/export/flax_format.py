"""The `flax` format: `bqnn.export.standalone` with its table filled in, and weights."""

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from flax import serialization

from bqnn.export import inference, manifest, standalone
from bqnn.export.standalone import Node
from bqnn.final.model import Model

_BEGIN, _END = "# --- the network ---\n", "# --- end of the network ---\n"
_DEFAULTS = Node._field_defaults


def write(model: Model, folder: Path) -> None:
    """Write the file of code and the file of weights."""
    variables = jax.tree.map(np.asarray, dict(model.variables))
    weights = serialization.msgpack_serialize(variables)
    (folder / standalone.WEIGHTS).write_bytes(weights)
    code = folder / manifest.FILES["flax"]
    code.write_text(source(model), encoding="utf-8")


def source(model: Model) -> str:
    """Fill the model into the text of `bqnn.export.standalone`."""
    text = Path(standalone.__file__).read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return "".join([before, _BEGIN, *_assignments(model), _END, after])


def _assignments(model: Model) -> Iterator[str]:
    height, width, channels, _ = model.images
    yield f"# {model.block}\n"
    yield "NODES: tuple[Node, ...] = (\n"
    yield from (f"    {_node(node)},\n" for node in inference.nodes(model))
    yield ")\n"
    yield "CLASS_NAMES: tuple[str, ...] = (\n"
    yield from (f"    {name!r},\n" for name in model.class_names)
    yield ")\n"
    yield f"IMAGE_SHAPE = {(height, width, channels)}  # height, width, channels\n"
    yield f"MEAN = {tuple(model.mean.tolist())}  # by channel, in units of pixels\n"
    yield f"STD = {tuple(model.std.tolist())}\n"
    yield f'DTYPE = "{model.dtype}"\n'


def _node(node: Node) -> str:
    """Write a node as code, without what is by default."""
    inputs = ", ".join(f'"{name}"' for name in node.inputs)
    comma = "," if len(node.inputs) == 1 else ""
    given = "".join(
        f", {name}={getattr(node, name)}"
        for name, default in _DEFAULTS.items()
        if getattr(node, name) != default
    )
    return f'Node("{node.name}", "{node.op}", ({inputs}{comma}){given})'

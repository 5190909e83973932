"""ONNX calls: inference of units and networks in ONNX Runtime, to be timed.

Made of the same plain layers as an export, one image at a time.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bqnn.engines.units import Shape, UnitSignature
from bqnn.export import inference, onnx_format
from bqnn.export.standalone import OPERATIONS, Node, own_layer
from bqnn.networks.plan import NetworkPlan

Call = Callable[[], Any]


class Graph(nn.Module):
    """Plain layers from several inputs on.

    Attributes:
      inputs: names of the inputs.
      nodes: in topological order.
    """

    inputs: tuple[str, ...]
    nodes: tuple[Node, ...]

    @nn.compact
    def __call__(self, *inputs: Array) -> Array:
        """Map inputs, float32 `[B, H, W, C]` each, to the value of the last node."""
        values = dict(zip(self.inputs, inputs, strict=True))
        for node in self.nodes:
            read = [values[name] for name in node.inputs]
            operation = OPERATIONS.get(node.op, own_layer)
            values[node.name] = operation(node, "float32", read)
        return values[self.nodes[-1].name]


def unit_call(signature: UnitSignature) -> Call:
    """Convert a unit, and return the call of its inference.

    Raises:
      ExportError: if it cannot be converted, or packages are missing.
    """
    inputs = tuple(f"input{n}" for n in range(len(signature.inputs)))
    nodes: list[Node] = []
    for number, planned in enumerate(signature.nodes):
        read = (nodes[-1].name,) if nodes else inputs
        nodes.append(inference.plain_node(planned, f"node{number}", read))
    return _call(Graph(inputs, tuple(nodes)), signature.inputs)


def network_call(network: NetworkPlan) -> Call:
    """Convert a network, and return the call of its inference.

    Raises:
      ExportError: if it cannot be converted, or packages are missing.
    """
    image, nodes = network.nodes[0], inference.nodes(network)
    shape = image.height, image.width, image.channels
    return _call(Graph((image.name,), nodes), [shape])


def _call(graph: Graph, shapes: Sequence[Shape]) -> Call:
    inference.take_own_layers()
    rng = np.random.default_rng(0)
    inputs = [rng.uniform(size=(1, *shape)).astype(np.float32) for shape in shapes]
    variables = graph.init(jax.random.key(0), *map(jnp.asarray, inputs))
    names = list(graph.inputs)
    converted = onnx_format.convert(
        lambda *arrays: graph.apply(variables, *arrays),
        [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in inputs],
        names,
    )
    session = onnx_format.session(converted.SerializeToString(), threads=1)
    feed = dict(zip(names, inputs, strict=True))
    return lambda: session.run(None, feed)

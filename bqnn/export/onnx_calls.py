"""ONNX calls: inference of units and networks in ONNX Runtime, to be timed.

Made of the same plain layers as an export, one image at a time.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bqnn.engines.units import Shape, UnitSignature
from bqnn.export import inference, onnx_format
from bqnn.export.standalone import OPERATIONS, Node, own_layer
from bqnn.latency.timing import COPIES, Call, UnitCalls
from bqnn.networks.plan import NetworkPlan


class Graph(nn.Module):
    """Plain layers from several inputs on.

    Attributes:
      inputs: names of the inputs.
      nodes: in topological order.
      ends: names of those whose values are returned.
    """

    inputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    ends: tuple[str, ...]

    @nn.compact
    def __call__(self, *inputs: Array) -> tuple[Array, ...]:
        """Map inputs, float32 `[B, H, W, C]` each, to the values of the ends."""
        values = dict(zip(self.inputs, inputs, strict=True))
        for node in self.nodes:
            read = [values[name] for name in node.inputs]
            operation = OPERATIONS.get(node.op, own_layer)
            values[node.name] = operation(node, "float32", read)
        return tuple(values[name] for name in self.ends)


def unit_calls(signature: UnitSignature) -> UnitCalls:
    """Convert a unit, and return the calls of its inference.

    Raises:
      ExportError: if it cannot be converted, or packages are missing.
    """
    one, several = (_copies(signature, count) for count in (1, COPIES))
    return UnitCalls(one, several)


def _copies(signature: UnitSignature, count: int) -> Call:
    """Make the call of several copies, each with inputs and weights of its own."""
    inputs: list[str] = []
    nodes: list[Node] = []
    ends: list[str] = []
    for copy in range(count):
        read = tuple(f"copy{copy}_input{n}" for n in range(len(signature.inputs)))
        inputs += read
        for number, planned in enumerate(signature.nodes):
            name = f"copy{copy}_node{number}"
            nodes.append(inference.plain_node(planned, name, read))
            read = (name,)
        ends += read
    graph = Graph(tuple(inputs), tuple(nodes), tuple(ends))
    return _call(graph, [*signature.inputs] * count)


def network_call(network: NetworkPlan) -> Call:
    """Convert a network, and return the call of its inference.

    Raises:
      ExportError: if it cannot be converted, or packages are missing.
    """
    image, nodes = network.nodes[0], inference.nodes(network)
    shape = image.height, image.width, image.channels
    graph = Graph((image.name,), nodes, (nodes[-1].name,))
    return _call(graph, [shape])


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
        [f"output{number}" for number in range(len(graph.ends))],
    )
    session = onnx_format.session(converted.SerializeToString(), threads=1)
    feed = dict(zip(names, inputs, strict=True))
    return lambda: session.run(None, feed)

"""The trained network in plain Flax: what every format is made from.

Not `bqnn.networks.network`, whose forms depend on the backend where it is traced: these
run, and convert, anywhere.
"""

from bqnn.export.standalone import Network, Node
from bqnn.final.model import Model

_WEIGHTED = ("stem", "pcc", "head")


def network(model: Model) -> Network:
    """Make the module; it takes the model's variables as they are."""
    mean, std = tuple(model.mean.tolist()), tuple(model.std.tolist())
    return Network(nodes(model), mean, std, model.dtype)


def nodes(model: Model) -> tuple[Node, ...]:
    """Tabulate the nodes of the model's plan, but for the image."""
    planned = model.plan.nodes
    return tuple(
        Node(
            node.name,
            node.op,
            tuple(planned[index].name for index in node.inputs),
            node.channels if node.op in _WEIGHTED else 0,
            node.kernel,
            node.stride,
        )
        for node in planned[1:]
    )

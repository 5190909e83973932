"""Inference: the trained network in plain Flax, from which every format is made.

The layers of `bqnn.networks.network` are traced in forms that depend on the backend.
Those of `standalone` run and convert anywhere.
"""

import jax
import jax.numpy as jnp

from bqnn.export import standalone
from bqnn.export.standalone import Network, Node
from bqnn.final.model import Model
from bqnn.layer_types import TYPES, is_own
from bqnn.networks import plan as planned
from bqnn.networks.plan import NetworkPlan

_WEIGHTED = ("stem", "pcc", "separable", "head")


def network(model: Model) -> Network:
    """Make the module of a model; it takes the model's variables as they are."""
    take_own_layers()
    mean, std = tuple(model.mean.tolist()), tuple(model.std.tolist())
    return Network(nodes(model.plan), mean, std, model.dtype)


def take_own_layers() -> None:
    """Let plain networks have the layers that the user has registered."""
    own = [kind for kind in TYPES.values() if kind.module]
    standalone.OWN.update({kind.op: kind.module for kind in own})


def nodes(network: NetworkPlan) -> tuple[Node, ...]:
    """List the nodes of a plan after the image."""
    found = network.nodes
    return tuple(
        plain_node(node, node.name, tuple(found[i].name for i in node.inputs))
        for node in found[1:]
    )


def plain_node(node: planned.Node, name: str, inputs: tuple[str, ...]) -> Node:
    """Give a node of a plan a name, and the names of what it reads."""
    weighted = node.op in _WEIGHTED or is_own(node.op)
    filters = node.channels if weighted else 0
    return Node(name, node.op, inputs, filters, node.kernel, node.stride)


def abstract_images(model: Model) -> jax.ShapeDtypeStruct:
    """Return the input to trace a network with, uint8 `[B, H, W, C]` for any B.

    The name of the batch axis, `b`, is part of an exported program.
    """
    batch = jax.export.symbolic_shape("b")
    return jax.ShapeDtypeStruct((*batch, *model.images[:3]), jnp.uint8)

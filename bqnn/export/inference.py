"""Inference: the trained network in plain Flax, from which every format is made.

The layers of `bqnn.networks.network` are traced in forms that depend on the backend.
Those of `standalone` run and convert anywhere.
"""

import jax
import jax.numpy as jnp

from bqnn.export.standalone import Network, Node
from bqnn.final.model import Model

_WEIGHTED = ("stem", "pcc", "head")


def network(model: Model) -> Network:
    """Make the module of a model; it takes the model's variables as they are."""
    mean, std = tuple(model.mean.tolist()), tuple(model.std.tolist())
    return Network(nodes(model), mean, std, model.dtype)


def nodes(model: Model) -> tuple[Node, ...]:
    """List the nodes of the model's plan after the image."""
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


def abstract_images(model: Model) -> jax.ShapeDtypeStruct:
    """Return the input to trace a network with, uint8 `[B, H, W, C]` for any B.

    The name of the batch axis, `b`, is part of an exported program.
    """
    batch = jax.export.symbolic_shape("b")
    return jax.ShapeDtypeStruct((*batch, *model.images[:3]), jnp.uint8)

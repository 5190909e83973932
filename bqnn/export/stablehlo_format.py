"""The `stablehlo` format: one `jax.export` artifact, weights and all."""

from pathlib import Path

import jax
import jax.numpy as jnp
from jax import Array

from bqnn.export import inference, manifest
from bqnn.final.model import Model

PLATFORMS = ("cpu", "cuda", "tpu")


def write(model: Model, folder: Path) -> None:
    """Write the function of images [b, H, W, C] uint8 to logits [b, K], for any b."""
    network = inference.network(model)

    def logits(images: Array) -> Array:
        found = network.apply(model.variables, images)
        assert isinstance(found, Array)
        return found

    batch = jax.export.symbolic_shape("b")
    images = jax.ShapeDtypeStruct((*batch, *model.images[:3]), jnp.uint8)
    exported = jax.export.export(jax.jit(logits), platforms=PLATFORMS)(images)
    (folder / manifest.FILES["stablehlo"]).write_bytes(exported.serialize())

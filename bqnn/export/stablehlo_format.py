"""The `stablehlo` format: one `jax.export` artifact, weights and all."""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bqnn import files
from bqnn.export import inference, manifest
from bqnn.export.manifest import ExportError
from bqnn.final.model import Model

PLATFORMS = ("cpu", "cuda", "tpu")
# A custom call may be any function that jax or another library has registered, Python
# callbacks among them. Ours checks the number of images.
_FOREIGN = re.compile(
    r"custom_call(?! @shape_assertion\()|\b(in|out)feed\b|\b(send|recv)\b"
)


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


def read(folder: Path, model: Model) -> Any:
    """Read the function, a `jax.export.Exported`.

    Raises:
      ExportError: if it does more than compute.
      OSError: if the file cannot be read.
      Exception: whatever jax raises if it is damaged.
    """
    path = folder / manifest.FILES["stablehlo"]
    content = files.read_bytes(path, manifest.most_bytes(model))
    exported = jax.export.deserialize(bytearray(content))
    if found := _FOREIGN.search(exported.mlir_module()):
        raise ExportError(
            f"{path}: its program has a {found[0]}, which may run anything: want what "
            "`python -m launch.export` wrote"
        )
    return exported

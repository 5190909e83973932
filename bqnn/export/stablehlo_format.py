"""The `stablehlo` format: one program of `jax.export` with its weights."""

import re
from pathlib import Path
from typing import Any

import jax
from jax import Array

from bqnn import files
from bqnn.export import inference, manifest
from bqnn.export.manifest import ExportError
from bqnn.final.model import Model

PLATFORMS = ("cpu", "cuda", "tpu")
# A custom call may run any function that a library has registered with jax, Python
# callbacks included. The one that we write checks the number of images.
_FOREIGN = re.compile(
    r"custom_call(?! @shape_assertion\()|\b(in|out)feed\b|\b(send|recv)\b"
)


def write(model: Model, folder: Path) -> None:
    """Write the function of images, uint8 `[B, H, W, C]`, to logits, float32 `[B, K]`.

    Args:
      model: the trained network.
      folder: an existing directory.
    """
    network = inference.network(model)

    def logits(images: Array) -> Array:
        found = network.apply(model.variables, images)
        assert isinstance(found, Array)
        return found

    export = jax.export.export(jax.jit(logits), platforms=PLATFORMS)
    exported = export(inference.abstract_images(model))
    (folder / manifest.FILES["stablehlo"]).write_bytes(exported.serialize())


def read(folder: Path, model: Model) -> Any:
    """Read the function, a `jax.export.Exported`.

    Raises:
      ExportError: if it has operations that do more than compute.
      OSError: if the file cannot be read.
      Exception: whatever jax raises if it is damaged.
    """
    path = folder / manifest.FILES["stablehlo"]
    content = files.read_bytes(path, manifest.max_bytes(model))
    exported = jax.export.deserialize(bytearray(content))
    if found := _FOREIGN.search(exported.mlir_module()):
        raise ExportError(
            f"{path}: its program has a {found[0]}, which may run anything: want what "
            "`python -m launch.export` wrote"
        )
    return exported

"""The `onnx` format, by jax2onnx."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from bqnn import files
from bqnn.export import inference, manifest
from bqnn.export.manifest import ExportError
from bqnn.final.model import Model

# Few runtimes have kernels for bfloat16.
DTYPE = "float32"
# Of 2022, which most runtimes read.
OPSET = 18
_FATAL = 4
INPUT, OUTPUT = "images", "logits"


def write(model: Model, folder: Path) -> None:
    """Write the graph of `images` [b, H, W, C] uint8 to `logits` [b, K], for any b.

    Args:
      model: whose dtype is `DTYPE`.
      folder: to write into.

    Raises:
      ExportError: if jax2onnx is not installed, or cannot convert the network.
    """
    try:
        import jax2onnx
        import onnx
    except ImportError as error:
        raise not_installed(error) from error
    network = inference.network(model)
    batch = jax.export.symbolic_shape("b")
    images = jax.ShapeDtypeStruct((*batch, *model.images[:3]), jnp.uint8)
    try:
        graph: Any = jax2onnx.to_onnx(
            lambda images: network.apply(model.variables, images),
            [images],
            model_name="bqnn",
            opset=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
        )
    except Exception as error:
        # It names no errors of its own.
        raise ExportError(f"jax2onnx cannot convert the network: {error!r}") from error
    # It moves transpositions and leaves the shapes as they were before.
    del graph.graph.value_info[:]
    onnx.save(graph, str(folder / manifest.FILES["onnx"]))


def read(folder: Path, model: Model) -> Any:
    """Read the graph, an `onnxruntime.InferenceSession`.

    From its bytes, so that it cannot name other files as parts of it.

    Raises:
      ExportError: if onnxruntime is not installed.
      OSError: if the file cannot be read.
      Exception: whatever onnxruntime raises if it is damaged.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise not_installed(error) from error
    path = folder / manifest.FILES["onnx"]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL  # errors are raised as well
    return onnxruntime.InferenceSession(
        files.read_bytes(path, manifest.most_bytes(model)),
        options,
        providers=["CPUExecutionProvider"],
    )


def not_installed(error: ImportError) -> ExportError:
    """Say how to install what the format needs."""
    return ExportError(
        "format onnx needs jax2onnx and onnxruntime: pip install 'bqnn[onnx]' "
        f"({error})"
    )

"""The `onnx` format: one graph with its weights, made by jax2onnx."""

from pathlib import Path
from typing import Any

from bqnn import files
from bqnn.export import inference, manifest
from bqnn.export.manifest import ExportError
from bqnn.final.model import Model

# Few runtimes have kernels for bfloat16.
DTYPE = "float32"
# Of 2022; most runtimes read it.
OPSET = 18
_FATAL = 4  # a level of onnxruntime's log
INPUT, OUTPUT = "images", "logits"


def write(model: Model, folder: Path) -> None:
    """Write the graph of images, uint8 `[B, H, W, C]`, to logits, float32 `[B, K]`.

    Args:
      model: the trained network, with dtype `DTYPE`.
      folder: an existing directory.

    Raises:
      ExportError: if jax2onnx is not installed, or cannot convert the network.
    """
    try:
        import jax2onnx
        import onnx
    except ImportError as error:
        raise _not_installed(error) from error
    network = inference.network(model)
    try:
        graph: Any = jax2onnx.to_onnx(
            lambda images: network.apply(model.variables, images),
            [inference.abstract_images(model)],
            model_name="bqnn",
            opset=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
        )
    except Exception as error:
        # jax2onnx has no error type of its own.
        raise ExportError(f"jax2onnx cannot convert the network: {error!r}") from error
    # jax2onnx moves transpositions, but does not update the shapes between them.
    del graph.graph.value_info[:]
    onnx.save(graph, str(folder / manifest.FILES["onnx"]))


def read(folder: Path, model: Model) -> Any:
    """Read the graph, an `onnxruntime.InferenceSession`.

    The session gets bytes, not a path: then the graph cannot refer to other files.

    Raises:
      ExportError: if onnxruntime is not installed.
      OSError: if the file cannot be read.
      Exception: whatever onnxruntime raises if it is damaged.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise _not_installed(error) from error
    path = folder / manifest.FILES["onnx"]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL  # errors are raised anyway
    return onnxruntime.InferenceSession(
        files.read_bytes(path, manifest.max_bytes(model)),
        options,
        providers=["CPUExecutionProvider"],
    )


def _not_installed(error: ImportError) -> ExportError:
    return ExportError(
        "format onnx needs jax2onnx and onnxruntime: pip install 'bqnn[onnx]' "
        f"({error})"
    )

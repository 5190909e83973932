"""The `onnx` format: one graph with its weights, made by jax2onnx."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

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
    network = inference.network(model)
    graph = convert(
        lambda images: network.apply(model.variables, images),
        [inference.abstract_images(model)],
        [INPUT],
        [OUTPUT],
    )
    path = folder / manifest.FILES["onnx"]
    path.write_bytes(graph.SerializeToString())


def convert(
    function: Callable[..., Any],
    inputs: Sequence[jax.ShapeDtypeStruct],
    names: Sequence[str],
    outputs: Sequence[str],
) -> Any:
    """Convert a function of arrays to a graph, an `onnx.ModelProto`.

    Args:
      function: of arrays to arrays.
      inputs: shapes and dtypes of its arguments.
      names: their names in the graph.
      outputs: names of what it returns.

    Raises:
      ExportError: if jax2onnx is not installed, or cannot convert the function.
    """
    try:
        import jax2onnx
    except ImportError as error:
        raise _not_installed(error) from error
    try:
        graph: Any = jax2onnx.to_onnx(
            function,
            list(inputs),
            model_name="bqnn",
            opset=OPSET,
            input_names=list(names),
            output_names=list(outputs),
        )
    except Exception as error:
        # jax2onnx has no error type of its own.
        raise ExportError(f"jax2onnx cannot convert the network: {error!r}") from error
    # jax2onnx moves transpositions, but does not update the shapes between them.
    del graph.graph.value_info[:]
    return graph


def read(folder: Path, model: Model) -> Any:
    """Read the graph, an `onnxruntime.InferenceSession`.

    The session gets bytes, not a path: then the graph cannot refer to other files.

    Raises:
      ExportError: if onnxruntime is not installed.
      OSError: if the file cannot be read.
      Exception: whatever onnxruntime raises if it is damaged.
    """
    path = folder / manifest.FILES["onnx"]
    return session(files.read_bytes(path, manifest.max_bytes(model)))


def session(graph: bytes, threads: int = 0) -> Any:
    """Make an `onnxruntime.InferenceSession` of a graph.

    Args:
      graph: as ONNX stores it.
      threads: of an operation; 0 leaves the choice to ONNX Runtime.

    Raises:
      ExportError: if onnxruntime is not installed.
      Exception: whatever onnxruntime raises if the graph is damaged.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise _not_installed(error) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL  # errors are raised anyway
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        graph, options, providers=["CPUExecutionProvider"]
    )


def _not_installed(error: ImportError) -> ExportError:
    return ExportError(
        "format onnx needs jax2onnx and onnxruntime: pip install 'bqnn[onnx]' "
        f"({error})"
    )

"""Exports read back, whoever wrote them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bqnn.errors import one_line, shortened
from bqnn.export import flax_format, inference, manifest, onnx_format, stablehlo_format
from bqnn.export.manifest import ExportError
from bqnn.final.model import Model

Logits = Callable[[np.ndarray], np.ndarray]


class Predictor(NamedTuple):
    """An exported network.

    Attributes:
      class_names: in the order of the logits.
      image_shape: height, width and channels.
      logits: maps images [B, H, W, C] uint8 to logits [B, K] float32.
    """

    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    logits: Logits


def load(folder: Path) -> Predictor:
    """Load an export, which somebody else may have written: no code of it is run.

    Of the format `flax` the block and the weights are read, and never `model.py`.
    `stablehlo` and `onnx` are programs for jax and ONNX runtimes, which are not made to
    withstand what was forged to harm them.

    Raises:
      ExportError: if it is missing, no export or damaged, or its format's library is
        not installed.
    """
    found = manifest.read(folder)
    try:
        logits = LOADERS[found.format](folder, found.model)
    except ExportError:
        raise
    except Exception as error:
        # Whatever jax, onnxruntime or msgpack raises.
        raise damaged(folder, error) from error
    height, width, channels, _ = found.model.images
    shape = (height, width, channels)
    checked = _checked(shape, len(found.model.class_names), folder, logits)
    return Predictor(found.model.class_names, shape, checked)


def damaged(folder: Path, error: Exception) -> ExportError:
    """Say that a file of an export is not what it should be."""
    text = shortened(one_line(f"{type(error).__name__}: {error}"), 300)
    return ExportError(f"{folder}: damaged ({text}): export the network again")


def _flax(folder: Path, model: Model) -> Logits:
    import jax

    network = inference.network(model)
    variables = jax.device_put(flax_format.read_weights(folder, model))
    apply = jax.jit(network.apply)
    return lambda images: np.asarray(apply(variables, images))


def _stablehlo(folder: Path, model: Model) -> Logits:
    import jax

    call = jax.jit(stablehlo_format.read(folder, model).call)
    return lambda images: np.asarray(call(images))


def _onnx(folder: Path, model: Model) -> Logits:
    session: Any = onnx_format.read(folder, model)

    def logits(images: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {onnx_format.INPUT: images})[0])

    return logits


LOADERS: dict[str, Callable[[Path, Model], Logits]] = {
    "flax": _flax,
    "onnx": _onnx,
    "stablehlo": _stablehlo,
}


def _checked(
    shape: tuple[int, int, int], classes: int, folder: Path, logits: Logits
) -> Logits:
    """Reject images and logits of another shape or type than the network is for."""

    def checked(images: np.ndarray) -> np.ndarray:
        if images.dtype != np.uint8 or images.shape[1:] != shape:
            raise ExportError(
                f"images are {images.dtype} of shape {images.shape}: want uint8 of "
                f"shape (B, {', '.join(map(str, shape))})"
            )
        try:
            found = logits(images)
        except Exception as error:
            # A program of another network, or too little memory.
            raise damaged(folder, error) from error
        if found.dtype != np.float32 or found.shape != (len(images), classes):
            raise ExportError(
                f"{folder}: logits are {found.dtype} of shape {found.shape}: want "
                f"float32 of shape {(len(images), classes)}; export the network again"
            )
        if not np.isfinite(found).all():
            raise ExportError(f"{folder}: logits are not finite: it is of no use")
        return found

    return checked

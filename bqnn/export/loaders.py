"""Loaders: read exports, perhaps from others, without running their code."""

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
      logits: maps images, uint8 `[B, H, W, C]`, to logits, float32 `[B, K]`.
    """

    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    logits: Logits


def load(folder: Path) -> Predictor:
    """Load an export, perhaps from others, without running its code.

    Of a `flax` export, the block and the weights are read, never `model.py`. Exports of
    `stablehlo` and `onnx` are programs for jax and onnxruntime, which do not promise to
    withstand programs forged to harm them.

    Raises:
      ExportError: if it is missing, no export or damaged, or the library of its format
        is not installed.
    """
    found = manifest.read(folder)
    try:
        logits = LOADERS[found.format](folder, found.model)
    except ExportError:
        raise
    except Exception as error:
        # jax, onnxruntime and msgpack raise errors of many types.
        raise _damaged(folder, error) from error
    class_names, shape = found.model.class_names, found.model.images[:3]
    checked = _checked(shape, len(class_names), folder, logits)
    return Predictor(class_names, shape, checked)


def _damaged(folder: Path, error: Exception) -> ExportError:
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
    """Make `logits` reject images and results that do not fit the network."""

    def checked(images: np.ndarray) -> np.ndarray:
        if images.dtype != np.uint8 or images.shape[1:] != shape:
            raise ExportError(
                f"images are {images.dtype} of shape {images.shape}: want uint8 of "
                f"shape (B, {', '.join(map(str, shape))})"
            )
        try:
            found = logits(images)
        except Exception as error:
            # The program is another network's, or memory is too small.
            raise _damaged(folder, error) from error
        if found.dtype != np.float32 or found.shape != (len(images), classes):
            raise ExportError(
                f"{folder}: logits are {found.dtype} of shape {found.shape}: want "
                f"float32 of shape {(len(images), classes)}; export the network again"
            )
        if not np.isfinite(found).all():
            raise ExportError(f"{folder}: logits are not finite: it is of no use")
        return found

    return checked

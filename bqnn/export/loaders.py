"""Exports read back, each by the means that a program without bqnn has."""

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bqnn.export import manifest
from bqnn.export.manifest import ExportError, Manifest
from bqnn.export.onnx_format import INPUT, not_installed

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
    """Load an export. The format `flax` runs its `model.py`: load what you trust.

    Raises:
      ExportError: if it is missing, no export or damaged, or its format's library is
        not installed.
    """
    found = manifest.read(folder)
    try:
        logits = LOADERS[found.format](folder / manifest.FILES[found.format])
    except ExportError:
        raise
    except Exception as error:
        # Whatever jax, onnxruntime or the file's own code raises.
        raise ExportError(
            f"{folder}: damaged ({error!r}): export the network again"
        ) from error
    return Predictor(found.class_names, found.image_shape, _checked(found, logits))


def _flax(path: Path) -> Logits:
    # Not by the import system, which would leave its __pycache__ in the export.
    module = types.ModuleType("bqnn_exported_model")
    module.__file__ = str(path)
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    module.load(path.parent)
    logits: Logits = module.logits
    return logits


def _stablehlo(path: Path) -> Logits:
    import jax

    call = jax.jit(jax.export.deserialize(bytearray(path.read_bytes())).call)
    return lambda images: np.asarray(call(images))


def _onnx(path: Path) -> Logits:
    try:
        import onnxruntime
    except ImportError as error:
        raise not_installed(error) from error
    session: Any = onnxruntime.InferenceSession(
        path.read_bytes(), providers=["CPUExecutionProvider"]
    )

    def logits(images: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {INPUT: images})[0])

    return logits


LOADERS: dict[str, Callable[[Path], Logits]] = {
    "flax": _flax,
    "onnx": _onnx,
    "stablehlo": _stablehlo,
}


def _checked(found: Manifest, logits: Logits) -> Logits:
    """Reject images of another shape or type than the network is for."""

    def checked(images: np.ndarray) -> np.ndarray:
        if images.dtype != np.uint8 or images.shape[1:] != found.image_shape:
            raise ExportError(
                f"images are {images.dtype} of shape {images.shape}: want uint8 of "
                f"shape (B, {', '.join(map(str, found.image_shape))})"
            )
        return logits(images)

    return checked

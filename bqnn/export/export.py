"""Export: writes a network in a format, if the export computes what the model does."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np

from bqnn.export import (
    flax_format,
    loaders,
    manifest,
    onnx_format,
    stablehlo_format,
    standalone,
)
from bqnn.export.manifest import ExportError
from bqnn.final.model import Model, logits_function

WRITERS: dict[str, Callable[[Model, Path], None]] = {
    "flax": flax_format.write,
    "onnx": onnx_format.write,
    "stablehlo": stablehlo_format.write,
}

# Largest difference allowed, relative to the largest logit. bfloat16 has 8 bits.
TOLERANCES = {"float32": 1e-4, "bfloat16": 2e-2}
_BATCHES = (1, 5)

# The files of any export; running `model.py` may have added Python's cache.
_FILES = {
    manifest.NAME,
    *manifest.FILES.values(),
    standalone.WEIGHTS,
    "__pycache__",
}


def export(model: Model, name: str, folder: Path) -> float:
    """Export a network into a directory of its own; replace an older export there.

    Args:
      model: the trained network.
      name: the format, a key of `WRITERS`.
      folder: the directory to write.

    Returns:
      The largest difference between the logits of export and model on images of noise,
      relative to the largest logit.

    Raises:
      ExportError: if it cannot be written, or its logits differ by more than
        `TOLERANCES`. `folder` is then as it was.
    """
    if name == "onnx":
        model = model._replace(dtype=onnx_format.DTYPE)
    try:
        _check_replaceable(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        # On the file system of `folder`, so that a rename puts the export in place.
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent) as temp:
            partial = Path(temp, "new")
            partial.mkdir()
            WRITERS[name](model, partial)
            manifest.write(model, name, partial)
            difference = _check(model, name, partial)
            if folder.exists():
                folder.rename(Path(temp, "old"))
            partial.rename(folder)
    except OSError as error:
        raise ExportError(f"{folder}: cannot be written: {error}") from error
    return difference


def _check_replaceable(folder: Path) -> None:
    """Refuse to replace anything but an export."""
    if not folder.exists():
        return
    if not folder.is_dir() or set(os.listdir(folder)) - _FILES:
        raise ExportError(
            f"{folder} exists and is no export: want a new directory, or an export"
        )


def _check(model: Model, name: str, folder: Path) -> float:
    """Read an export back, and return its difference from the model."""
    predictor = loaders.load(folder)
    # The loader does not run `model.py`, which users do.
    logits = flax_format.run(folder) if name == "flax" else predictor.logits
    images = _noise(predictor.image_shape)
    want = _reference(model, images)
    if not all(np.isfinite(logits).all() for logits in want):
        raise ExportError(
            "nothing is exported: the model's logits are not finite: its training "
            "diverged; want another checkpoint"
        )
    difference = _difference([logits(batch) for batch in images], want)
    tolerance = TOLERANCES[model.dtype]
    if model.dtype != "float32":
        # A deep network amplifies rounding, so allow as much as the model itself has.
        exact = _reference(model._replace(dtype="float32"), images)
        tolerance = max(tolerance, _difference(exact, want))
    if not difference <= tolerance:  # also true for NaN
        raise ExportError(
            f"nothing is exported: the logits of the {name} export differ from the "
            f"model's by {difference:.1e} of the largest, more than {tolerance:.0e}"
        )
    return difference


def _noise(shape: tuple[int, int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (n, *shape), dtype=np.uint8) for n in _BATCHES]


def _reference(model: Model, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    logits = jax.jit(logits_function(model))
    # By default, GPUs and TPUs multiply float32 with fewer bits.
    with jax.default_matmul_precision("highest"):
        return [np.asarray(logits(model.variables, batch)) for batch in images]


def _difference(found: Sequence[np.ndarray], want: Sequence[np.ndarray]) -> float:
    """Return the largest difference in a batch, relative to its largest logit."""
    tiny = np.finfo(np.float32).tiny
    return max(
        float(np.abs(a - b).max() / max(np.abs(b).max(), tiny))
        for a, b in zip(found, want, strict=True)
    )

"""Writes an export whole, and only if it computes what the model does."""

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

# Differences allowed by dtype, relative to the largest logit: bfloat16 has 8 bits.
TOLERANCES = {"float32": 1e-4, "bfloat16": 2e-2}
_BATCHES = (1, 5)

# All that an export may hold: Python may have left its cache of `model.py`.
_OWN = {
    manifest.NAME,
    *manifest.FILES.values(),
    standalone.WEIGHTS,
    "__pycache__",
}


def export(model: Model, name: str, folder: Path) -> float:
    """Export a network into a directory of its own; an older export is replaced.

    Args:
      model: the trained network.
      name: of the format, a key of `WRITERS`.
      folder: to make.

    Returns:
      The largest difference of its logits from the model's on images of noise, relative
      to the largest logit.

    Raises:
      ExportError: if it cannot be written, or differs; `folder` is then as it was.
    """
    if name == "onnx":
        model = model._replace(dtype=onnx_format.DTYPE)
    try:
        _check_replaceable(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside the folder, to be renamed to it.
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent) as held:
            partial = Path(held, "new")
            partial.mkdir()
            WRITERS[name](model, partial)
            manifest.write(model, name, partial)
            difference = _check(model, name, partial)
            if folder.exists():
                folder.rename(Path(held, "old"))
            partial.rename(folder)
    except OSError as error:
        raise ExportError(f"{folder}: cannot be written: {error}") from error
    return difference


def _check_replaceable(folder: Path) -> None:
    """Never replace what is no export."""
    if not folder.exists():
        return
    if not folder.is_dir() or set(os.listdir(folder)) - _OWN:
        raise ExportError(
            f"{folder} exists and is no export: want a new directory, or an export"
        )


def _check(model: Model, name: str, folder: Path) -> float:
    """Compare the export, read back, with the model.

    Of the format `flax`, what a user would run is run: we have just written it.
    """
    predictor = loaders.load(folder)
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
        # A deep network magnifies rounding: as much as the model's own is allowed.
        exact = _reference(model._replace(dtype="float32"), images)
        tolerance = max(tolerance, _difference(exact, want))
    if not difference <= tolerance:  # so that NaN is rejected
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
    # Else GPUs and TPUs round float32 products to fewer bits.
    with jax.default_matmul_precision("highest"):
        return [np.asarray(logits(model.variables, batch)) for batch in images]


def _difference(found: Sequence[np.ndarray], want: Sequence[np.ndarray]) -> float:
    """Return the largest difference in any batch, relative to its largest logit."""
    tiny = np.finfo(np.float32).tiny
    return max(
        float(np.abs(a - b).max() / max(np.abs(b).max(), tiny))
        for a, b in zip(found, want, strict=True)
    )

"""`model.json`: what an export says of itself."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import bqnn
from bqnn import config_dict
from bqnn.errors import BqnnError, quote
from bqnn.final.model import Model

NAME = "model.json"
VERSION = 1

# The file of each format that a program loads.
FILES = {"flax": "model.py", "onnx": "model.onnx", "stablehlo": "model.stablehlo"}


class ExportError(BqnnError):
    """An export that cannot be written, or read back."""


class Manifest(NamedTuple):
    """What is needed to use an export.

    Attributes:
      format: a key of `FILES`.
      class_names: in the order of the logits.
      image_shape: height, width and channels.
    """

    format: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]


def write(model: Model, name: str, folder: Path) -> None:
    """Write the manifest of an export of `model` in the format `name`."""
    height, width, channels, _ = model.images
    values = {
        "format": name,
        "format_version": VERSION,
        "bqnn_version": bqnn.__version__,
        "file": FILES[name],
        "class_names": model.class_names,
        "image_shape": (height, width, channels),
        "mean": model.mean.tolist(),
        "std": model.std.tolist(),
        "dtype": model.dtype,
        "block": str(model.block),
        "network": config_dict.to_dict(model.network),
    }
    text = json.dumps(values, indent=1, ensure_ascii=False)
    (folder / NAME).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> Manifest:
    """Read the manifest of an export.

    Raises:
      ExportError: if the folder is missing or no export, or of a newer version.
    """
    if not folder.is_dir():
        raise ExportError(
            f"{folder}: no such directory: want what `python -m launch.export` wrote"
        )
    try:
        values = json.loads((folder / NAME).read_text(encoding="utf-8"))
        return _parse(folder, values)
    except FileNotFoundError as error:
        raise ExportError(
            f"{folder} is no export, it has no {NAME}: want a directory that "
            "`python -m launch.export` wrote"
        ) from error
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ExportError(
            f"{folder / NAME}: damaged ({error!r}): export the network again"
        ) from error


def _parse(folder: Path, values: Any) -> Manifest:
    name, version = values["format"], values["format_version"]
    if version != VERSION or name not in FILES:
        raise ExportError(
            f"{folder / NAME}: format {quote(name)} of version {quote(version)}: this "
            f"bqnn reads version {VERSION} of {', '.join(FILES)}; export it again"
        )
    height, width, channels = values["image_shape"]
    return Manifest(name, tuple(values["class_names"]), (height, width, channels))

"""Manifest: `model.json`, the description of an export."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import bqnn
from bqnn import files
from bqnn.config import NetworkConfig, dictionary
from bqnn.errors import BqnnError, UnknownLayerError, quote
from bqnn.final import file_schemas
from bqnn.final.model import Model
from bqnn.networks.cost import network_cost
from bqnn.networks.plan import ImageSpec
from bqnn.schema import LARGEST_SIDE, fields, integer, listed

NAME = "model.json"
VERSION = 1

# The file that a program loads, by format.
FILES = {"flax": "model.py", "onnx": "model.onnx", "stablehlo": "model.stablehlo"}


class ExportError(BqnnError):
    """An export that cannot be written, or read back."""


class Manifest(NamedTuple):
    """The description of an export.

    Attributes:
      format: a key of `FILES`.
      model: the network, without variables.
    """

    format: str
    model: Model


def write(model: Model, name: str, folder: Path) -> None:
    """Write the manifest of an export of `model` in the format `name`."""
    values = {
        "format": name,
        "format_version": VERSION,
        "bqnn_version": bqnn.__version__,
        "file": FILES[name],
        "class_names": model.class_names,
        "image_shape": model.images[:3],
        "mean": model.mean.tolist(),
        "std": model.std.tolist(),
        "dtype": model.dtype,
        "block": str(model.block),
        "network": dictionary.to_dict(model.network),
    }
    text = json.dumps(values, indent=1, ensure_ascii=False)
    (folder / NAME).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> Manifest:
    """Read the manifest of an export, perhaps from others.

    Raises:
      ExportError: if the folder is missing or no export, or the manifest is damaged or
        of another version.
    """
    if not folder.is_dir():
        raise ExportError(
            f"{folder}: no such directory: want what `python -m launch.export` wrote"
        )
    try:
        values = files.read_json(folder / NAME)
        return _parse(folder, values)
    except FileNotFoundError as error:
        raise ExportError(
            f"{folder} is no export, it has no {NAME}: want a directory that "
            "`python -m launch.export` wrote"
        ) from error
    except ExportError:
        raise
    except UnknownLayerError as error:
        raise ExportError(f"{folder / NAME}: {error}") from error
    except (OSError, ValueError, BqnnError) as error:
        raise ExportError(
            f"{folder / NAME}: damaged ({error}): export the network again"
        ) from error


def max_bytes(model: Model) -> int:
    """Return the largest size of a file that holds weights and program."""
    return 2 * 4 * network_cost(model.plan).params + 2**26


_FIELDS = fields(
    {
        "class_names": file_schemas.CLASS_NAMES,
        "image_shape": listed(integer(1, LARGEST_SIDE), "three integers", 3, 3),
        "mean": file_schemas.MEAN,
        "std": file_schemas.STD,
        "dtype": file_schemas.DTYPE,
        "block": file_schemas.block,
        "network": lambda value: dictionary.section("network", value, NetworkConfig),
    }
)


def _parse(folder: Path, values: Any) -> Manifest:
    given = fields({"format": _anything, "format_version": _anything})(values)
    name, version = given["format"], given["format_version"]
    if version != VERSION or name not in tuple(FILES):
        raise ExportError(
            f"{folder / NAME}: format {quote(name)} of version {quote(version)}: this "
            f"bqnn reads version {VERSION} of {', '.join(FILES)}; export it again"
        )
    found = _FIELDS(values)
    class_names, (height, width, channels) = found["class_names"], found["image_shape"]
    model = Model(
        found["block"],
        found["network"],
        ImageSpec(height, width, channels, len(class_names)),
        class_names,
        found["mean"],
        found["std"],
        {},
        found["dtype"],
    )
    file_schemas.check_model(model)
    return Manifest(name, model)


def _anything(value: Any) -> Any:
    return value

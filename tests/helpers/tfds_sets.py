"""Data sets of tensorflow_datasets, written without TensorFlow."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from bqnn.data.stream import Streams, open_streams
from bqnn.final.config import FinalDataConfig

Examples = list[dict[str, Any]]
CLASSES, SIDE = 26, 16


def jpeg(index: int, mode: str = "RGB") -> bytes:
    """Encode smooth noise, of a size that depends on `index`."""
    rng = np.random.default_rng(index)
    noise = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    size = 20 + 3 * (index % 7), 18 + 5 * (index % 5)
    buffer = io.BytesIO()
    noise.resize(size).convert(mode).save(buffer, "JPEG")
    return buffer.getvalue()


def write_tfds(
    directory: Path,
    image: tfds.features.Image,
    num_classes: int,
    shard: int,
    **splits: Examples,
) -> Path:
    """Write a data set `tiny`, as tensorflow_datasets does.

    Args:
      directory: of all data sets.
      image: the feature `image`; `label` is the other one.
      num_classes: number of classes.
      shard: most examples of a file.
      splits: examples by split, with encoded images.

    Returns:
      The folder of the data set.
    """
    folder = directory / "tiny" / "1.0.0"
    folder.mkdir(parents=True)
    label = tfds.features.ClassLabel(num_classes=num_classes)
    identity = tfds.core.dataset_info.DatasetIdentity(
        "tiny", tfds.core.Version("1.0.0"), str(folder), "tests"
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        features=tfds.features.FeaturesDict({"image": image, "label": label}),
        supervised_keys=("image", "label"),
    )
    writer = tfds.core.SequentialWriter(info, shard, file_format="array_record")
    writer.initialize_splits(list(splits))
    writer.add_examples(splits)
    writer.close_all()
    return folder


def write_jpegs(directory: Path, **splits: Examples) -> None:
    """Write a data set of `CLASSES` classes from JPEG files of any size."""
    image = tfds.features.Image(encoding_format="jpeg")
    write_tfds(directory, image, CLASSES, CLASSES // 2, **splits)


def jpeg_examples(count: int, mode: str = "RGB", label: int | None = None) -> Examples:
    """Make examples; unless all have one label, it tells them apart."""
    return [
        {"image": jpeg(i, mode), "label": i if label is None else label}
        for i in range(count)
    ]


def open_tiny(directory: Path, **changes: object) -> Streams:
    """Open a data set written by `write_jpegs`."""
    settings = {"name": "tiny", "resolution": SIDE, "streaming": True, **changes}
    config = FinalDataConfig(data_dir=str(directory), **settings)  # type: ignore[arg-type]
    return open_streams(config, config.resolution, config.workers)

"""Any image classification set of tensorflow_datasets, by its name.

Reading a prepared data set needs no TensorFlow; preparing one for the first time does,
so TensorFlow is not among the requirements.
"""

import importlib.util
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bqnn import files, schema
from bqnn.data.arrays import check_memory
from bqnn.data.source import Split, make_split
from bqnn.errors import DataError, quote, shortened

# Below the folder of a data set: its configuration, and its version.
_DEPTH = 3
# As tensorflow_datasets writes them now, as protobuf reads them too, as of old.
_CLASS_KEYS = ("pythonClassName", "python_class_name", "type")


def read(argument: str, data_dir: str | None, split: str) -> Split:
    """Read a split of the data set named `argument`, preparing it if need be.

    Raises:
      DataError: if tensorflow_datasets does not know the name, the data set is no
        image classification set or has images of mixed size, or it is not prepared and
        cannot be prepared here.
    """
    builder = prepared(argument, data_dir)
    check_split(builder, argument, split)
    return _read_split(builder, argument, split)


def prepared(name: str, data_dir: str | None) -> Any:
    """Find the builder of a data set, and prepare the data set if need be.

    Raises:
      DataError: as `read` does.
    """
    # absl warns about image decoders and folders it will create: no news to a user.
    logger = logging.getLogger("absl")
    logger.setLevel(max(logger.level, logging.ERROR))
    builder = _builder(name, data_dir)
    _check_task(builder, name)
    if not builder.is_prepared():
        _prepare(builder, name, data_dir)
    return builder


def _check_task(builder: Any, name: str) -> None:
    """Want an image and its class."""
    keys, features = builder.info.supervised_keys, builder.info.features
    if len(keys or ()) < 2 or "image" not in keys[0] or keys[1] not in features:
        raise DataError(
            f"data set {name}: not for image classification (its supervised keys "
            f"are {quote(keys)}, want an image and a label)"
        )
    classes = getattr(features[keys[1]], "num_classes", None)
    # Before their names are made: there may be no file of names, but a number.
    if classes is None or not 1 <= classes <= schema.MOST_CLASSES:
        raise DataError(
            f"data set {name}: it has {quote(classes)} classes, want 1 to "
            f"{schema.MOST_CLASSES:,}"
        )


def check_split(builder: Any, name: str, split: str) -> None:
    """Make sure that a data set has a split.

    Raises:
      DataError: if it has none of this name.
    """
    if split not in builder.info.splits:
        raise DataError(
            f"data set {name}: it has no {split} split, only "
            f"{shortened(', '.join(builder.info.splits), 300)}"
        )


def unreadable(builder: Any, name: str, split: str, error: Exception) -> DataError:
    """Say that a prepared split cannot be read."""
    return DataError(
        f"data set {name} in {builder.data_path}: cannot read its {split} split "
        f"({shortened(str(error), 300)}); it must be prepared with "
        "file_format='array_record'"
    )


def _builder(name: str, data_dir: str | None) -> Any:
    import tensorflow_datasets as tfds

    if data_dir:
        _check_classes(data_dir, name)
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError as error:
        raise DataError(
            f"data set {quote(name)} is unknown: want digits, npz:FILE, folder:DIR or "
            "a name from tensorflow_datasets, such as cifar100"
        ) from error
    except Exception as error:
        # Damaged metadata may raise anything.
        raise DataError(
            f"data set {quote(name)}: {shortened(str(error), 300)}"
        ) from error


def _check_classes(data_dir: str, name: str) -> None:
    """Refuse a prepared data set that would run code of its own.

    A feature names the Python class that reads it, and tensorflow_datasets imports
    whatever module is named: one in a folder of the data set, for all it knows.
    """
    root = Path(data_dir, re.split("[/:]", name)[0])
    for depth in range(_DEPTH):
        for path in root.glob("*/" * depth + "features.json"):
            try:
                classes = [*_class_names(files.read_json(path))]
            except (OSError, TypeError, ValueError, RecursionError) as error:
                raise DataError(f"{path}: damaged ({error})") from error
            for found in classes:
                if not found.startswith("tensorflow_datasets."):
                    raise DataError(
                        f"{path}: a feature is of class {quote(found)}: want one of "
                        "tensorflow_datasets"
                    )


def _class_names(value: Any) -> Iterator[str]:
    """Yield all names of classes in what is written of features."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, dict | list):
            yield from _class_names(item)
        elif key in _CLASS_KEYS:
            yield str(item)


def _prepare(builder: Any, name: str, data_dir: str | None) -> None:
    """Download and prepare, in the one format that can be read in any order."""
    if not _can_prepare():
        where = data_dir or "the default directory of tensorflow_datasets"
        raise DataError(
            f"data set {name} is not prepared in {where}: pass "
            "--config.data.data_dir=DIR of a prepared one, or `pip install "
            "tensorflow-cpu` and run again to download and prepare it"
        )
    try:
        builder.download_and_prepare(file_format="array_record")
    except Exception as error:
        # Whatever a data set's own script may raise, the user learns which set it was.
        raise DataError(f"data set {name}: preparing it failed: {error}") from error


def _can_prepare() -> bool:
    # The scripts of most data sets open files and encode images by it.
    return importlib.util.find_spec("tensorflow") is not None


def _read_split(builder: Any, name: str, split: str) -> Split:
    image_key, label_key = builder.info.supervised_keys[:2]
    try:
        source = builder.as_data_source(split=split)
        check_memory(len(source) * source[0][image_key].nbytes)
        examples = [source[index] for index in range(len(source))]
    except DataError as error:
        raise DataError(f"data set {name}: {error}") from error
    except Exception as error:
        # A damaged or foreign file may raise anything.
        raise unreadable(builder, name, split, error) from error
    images = [example[image_key] for example in examples]
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise DataError(
            f"data set {name}: images of mixed size, {quote(sorted(shapes)[:2])}: "
            "a search needs images of one size"
        )
    labels = [int(example[label_key]) for example in examples]
    class_names = tuple(builder.info.features[label_key].names)
    return make_split(f"data set {name} {split}", np.stack(images), labels, class_names)

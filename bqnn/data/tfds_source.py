"""Image classification data sets of tensorflow_datasets, by name.

Only preparing a data set for the first time needs TensorFlow; reading a prepared one
does not. So TensorFlow is not among the requirements.
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

# Levels of folders with metadata: the data set, its configuration, its version.
_DEPTH = 3
# Keys of class names: as written now, as protobuf also accepts it, as once written.
_CLASS_KEYS = ("pythonClassName", "python_class_name", "type")


def read(argument: str, data_dir: str | None, split: str) -> Split:
    """Read a split of the data set `argument`; prepare the data set if it is not.

    Raises:
      DataError: if tensorflow_datasets does not know the name, the data set is not for
        image classification or has images of mixed size, or it is not prepared and
        cannot be prepared here.
    """
    builder = prepared(argument, data_dir)
    check_split(builder, argument, split)
    return _read_split(builder, argument, split)


def prepared(name: str, data_dir: str | None) -> Any:
    """Return the builder of a data set; prepare the data set if it is not.

    Raises:
      DataError: as `read` does.
    """
    # absl warns about image decoders and new folders, which says nothing to a user.
    logger = logging.getLogger("absl")
    logger.setLevel(max(logger.level, logging.ERROR))
    builder = _builder(name, data_dir)
    _check_task(builder, name)
    if not builder.is_prepared():
        _prepare(builder, name, data_dir)
    return builder


def _check_task(builder: Any, name: str) -> None:
    """Check that an example is an image and its class."""
    keys, features = builder.info.supervised_keys, builder.info.features
    if len(keys or ()) < 2 or "image" not in keys[0] or keys[1] not in features:
        raise DataError(
            f"data set {name}: not for image classification (its supervised keys "
            f"are {quote(keys)}, want an image and a label)"
        )
    classes = getattr(features[keys[1]], "num_classes", None)
    # Checked before names are read: without a file of names, one is made per class.
    if classes is None or not 1 <= classes <= schema.MOST_CLASSES:
        raise DataError(
            f"data set {name}: it has {quote(classes)} classes, want 1 to "
            f"{schema.MOST_CLASSES:,}"
        )


def check_split(builder: Any, name: str, split: str) -> None:
    """Check that a data set has a split.

    Raises:
      DataError: if it has none of this name.
    """
    if split not in builder.info.splits:
        raise DataError(
            f"data set {name}: it has no {split} split, only "
            f"{shortened(', '.join(builder.info.splits), 300)}"
        )


def unreadable(builder: Any, name: str, split: str, error: Exception) -> DataError:
    """Make the error for a prepared split that cannot be read."""
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
        # Errors of many types are raised for damaged metadata.
        raise DataError(
            f"data set {quote(name)}: {shortened(str(error), 300)}"
        ) from error


def _check_classes(data_dir: str, name: str) -> None:
    """Refuse a prepared data set that would run code of its own.

    A feature names the Python class that reads it. tensorflow_datasets imports any
    module that is named, even one from a folder of the data set.
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
    """Yield the names of all Python classes in the JSON of features."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, dict | list):
            yield from _class_names(item)
        elif key in _CLASS_KEYS:
            yield str(item)


def _prepare(builder: Any, name: str, data_dir: str | None) -> None:
    """Download and prepare a data set as ArrayRecord, which has random access."""
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
        # Scripts of data sets raise errors of many types. The message names the set.
        raise DataError(f"data set {name}: preparing it failed: {error}") from error


def _can_prepare() -> bool:
    # Scripts of most data sets call tf.io.gfile.GFile and tf.image.encode_png.
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
        # Errors of many types are raised for a damaged file or one of another format.
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

"""Any image classification set of tensorflow_datasets, by its name.

Reading a prepared data set needs no TensorFlow; preparing one for the first time does,
so TensorFlow is not among the requirements.
"""

import importlib.util
import logging
from typing import Any

import numpy as np

from bqnn.data.source import Split, make_split
from bqnn.errors import DataError, quote


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
    keys = builder.info.supervised_keys
    if not keys or "image" not in keys[0] or "label" not in builder.info.features:
        raise DataError(
            f"data set {name}: not for image classification (its supervised keys "
            f"are {keys}, want an image and a label)"
        )
    if not builder.is_prepared():
        _prepare(builder, name, data_dir)
    return builder


def check_split(builder: Any, name: str, split: str) -> None:
    """Make sure that a data set has a split.

    Raises:
      DataError: if it has none of this name.
    """
    if split not in builder.info.splits:
        raise DataError(
            f"data set {name}: it has no {split} split, only "
            f"{', '.join(builder.info.splits)}"
        )


def unreadable(builder: Any, name: str, split: str, error: Exception) -> DataError:
    """Say that a prepared split cannot be read."""
    return DataError(
        f"data set {name} in {builder.data_path}: cannot read its {split} split "
        f"({error}); it must be prepared with file_format='array_record'"
    )


def _builder(name: str, data_dir: str | None) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError as error:
        raise DataError(
            f"data set {quote(name)} is unknown: want digits, npz:FILE, folder:DIR or "
            "a name from tensorflow_datasets, such as cifar100"
        ) from error
    except (AssertionError, ValueError, ImportError, OSError) as error:
        raise DataError(f"data set {quote(name)}: {error}") from error


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
        examples = [source[place] for place in range(len(source))]
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

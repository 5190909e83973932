"""Folders: a user's own image files, `folder:DIR`, with one sub-folder per class.

The layout is `DIR/CLASS/*.png` (as torchvision.datasets.ImageFolder), without a test
split, or `DIR/train/CLASS/*.png` and `DIR/test/CLASS/*.png` (as tfds.ImageFolder).
"""

from pathlib import Path

import numpy as np

from bqnn.data.arrays import check_memory
from bqnn.data.image_files import SUFFIXES, read_image
from bqnn.data.source import Split, make_split
from bqnn.errors import DataError


def read(argument: str, data_dir: str | None, split: str) -> Split:
    """Read the images below the folder `argument`; classes are sorted by name.

    If all images are grey, they stay grey; otherwise all become RGB.

    Raises:
      DataError: if the folder is missing, has fewer than two classes or an empty one,
        an image cannot be read, or images differ in size.
    """
    try:
        return _read(argument, split)
    except OSError as error:  # a folder without permission to list it
        raise DataError(f"folder:{argument}: {error}") from error


def _read(argument: str, split: str) -> Split:
    root = _split_folder(Path(argument), split)
    classes = _class_names(Path(argument), root)
    files, labels = [], []
    for label, name in enumerate(classes):
        found = _image_files(root / name)
        if not found:
            raise DataError(f"folder:{argument}: class folder {root / name} is empty")
        files += found
        labels += [label] * len(found)
    where = f"folder:{argument} {split}"
    return make_split(where, _stack(where, files), labels, tuple(classes))


def _split_folder(directory: Path, split: str) -> Path:
    if not directory.is_dir():
        raise DataError(f"folder:{directory}: there is no such folder")
    if (directory / split).is_dir():
        return directory / split
    if split == "train":
        return directory
    raise DataError(
        f"folder:{directory}: it has no {split} folder, so no {split} split"
    )


def _class_names(directory: Path, root: Path) -> list[str]:
    # The training folder names the classes of every split.
    train = directory / "train" if (directory / "train").is_dir() else root
    names = sorted(p.name for p in train.iterdir() if p.is_dir())
    if len(names) < 2:
        raise DataError(
            f"folder:{directory}: {train} has {len(names)} class folders, want 2 or "
            "more, one per class"
        )
    return names


def _image_files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted(p for p in directory.iterdir() if p.suffix.lower() in SUFFIXES)


def _stack(where: str, files: list[Path]) -> np.ndarray:
    first, images = read_image(files[0]), []
    check_memory(len(files) * first.width * first.height * 3)
    for path in files:
        image = read_image(path)
        if image.size != first.size:
            raise DataError(
                f"{where}: images of mixed size: {files[0]} is "
                f"{first.width}x{first.height}, {path} is {image.width}x"
                f"{image.height}; resize them to one size"
            )
        images.append(image)
    mode = "L" if all(image.mode == "L" for image in images) else "RGB"
    return np.stack([np.asarray(image.convert(mode)) for image in images])

"""A user's own image files: `folder:DIR`, one sub-folder per class.

Either `DIR/CLASS/*.png` (as torchvision.datasets.ImageFolder), which has no test split,
or `DIR/train/CLASS/*.png` and `DIR/test/CLASS/*.png` (as tfds.ImageFolder).
"""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from bqnn.data.source import Split, make_split
from bqnn.errors import DataError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}


def read(argument: str, data_dir: str | None, split: str) -> Split:
    """Read the images below the folder named `argument`; classes sort by name.

    Grey images stay grey when all are; otherwise all become RGB.

    Raises:
      DataError: if there is no folder, no class, an empty class, an unreadable image,
        or images of different sizes.
    """
    root = _split_folder(Path(argument), split)
    classes = _class_names(Path(argument), root)
    images, labels = [], []
    for label, name in enumerate(classes):
        files = _image_files(root / name)
        if not files:
            raise DataError(f"folder:{argument}: class folder {root / name} is empty")
        images += [(path, _open(path)) for path in files]
        labels += [label] * len(files)
    where = f"folder:{argument} {split}"
    return make_split(where, _stack(where, images), labels, tuple(classes))


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


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("L" if image.mode in ("L", "1") else "RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{path}: not a readable image ({error})") from error


def _stack(where: str, images: list[tuple[Path, Image.Image]]) -> np.ndarray:
    first_path, first = images[0]
    for path, image in images:
        if image.size != first.size:
            raise DataError(
                f"{where}: images of mixed size: {first_path} is "
                f"{first.width}x{first.height}, {path} is {image.width}x"
                f"{image.height}; resize them to one size"
            )
    grey = all(image.mode == "L" for _, image in images)
    mode = "L" if grey else "RGB"
    return np.stack([np.asarray(image.convert(mode)) for _, image in images])

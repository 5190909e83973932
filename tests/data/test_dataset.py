"""Data sources: one contract for all, and one clear line for what is wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn import datasets

from bqnn.config import DataConfig
from bqnn.data import Dataset, load, load_test
from bqnn.errors import DataError
from tests.helpers.paths import SHARED

TFDS = SHARED / "data" / "tfds"
RNG = np.random.default_rng(0)


def _npz(tmp: Path) -> DataConfig:
    labels = np.arange(60) % 3
    np.savez(
        tmp / "data.npz",
        train_images=RNG.integers(0, 256, (60, 6, 5, 3), np.uint8),
        train_labels=labels,
        test_images=RNG.integers(0, 256, (9, 6, 5, 3), np.uint8),
        test_labels=np.arange(9) % 3,
    )
    return DataConfig(f"npz:{tmp / 'data.npz'}", validation=0.25)


def _write_images(folder: Path, count: int, mode: str = "RGB") -> None:
    folder.mkdir(parents=True)
    shape = (7, 9, 3) if mode == "RGB" else (7, 9)
    for place in range(count):
        pixels = RNG.integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels).save(folder / f"{place}.png")


def _folder(tmp: Path) -> DataConfig:
    for split, count in (("train", 8), ("test", 2)):
        for name in ("cat", "dog"):
            _write_images(tmp / "images" / split / name, count)
    return DataConfig(f"folder:{tmp / 'images'}", validation=0.25)


def _digits(tmp: Path) -> DataConfig:
    return DataConfig("digits", validation=0.2)


def _cifar100(tmp: Path) -> DataConfig:
    if not TFDS.is_dir():
        pytest.skip("no prepared CIFAR-100 beside this checkout")
    return DataConfig("cifar100", str(TFDS), validation=0.1)


SOURCES = {
    "digits": (_digits, (8, 8, 1), 10),
    "npz": (_npz, (6, 5, 3), 3),
    "folder": (_folder, (7, 9, 3), 2),
    "tfds": (_cifar100, (32, 32, 3), 100),
}


@pytest.fixture(params=SOURCES)
def source(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[DataConfig, tuple[int, ...], int]:
    make, shape, classes = SOURCES[request.param]
    return make(tmp_path), shape, classes


def test_every_source_gives_what_a_search_needs(
    source: tuple[DataConfig, tuple[int, ...], int],
) -> None:
    config, shape, classes = source
    data = load(config)
    assert data.spec == (*shape, classes)
    for part in (data.train, data.validation):
        assert part.images.shape == (len(part.labels), *shape)
        assert part.images.dtype == np.dtype(np.uint8)
        assert part.labels.dtype == np.dtype(np.int32)
        assert set(part.labels.tolist()) == set(range(classes))
    # Held out: stratified, the fraction asked for.
    train, held = (np.bincount(p.labels) for p in (data.train, data.validation))
    want = config.validation * (train + held)
    assert (np.abs(held - want) <= 0.5).all()
    pixels = data.train.images.reshape(-1, shape[-1]).astype(np.float64)
    np.testing.assert_allclose(data.mean, pixels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(data.std, pixels.std(0), rtol=1e-5)
    test = load_test(config)
    assert test.images.shape[1:] == shape
    assert test.labels.max() < classes


def test_no_image_is_both_learnt_from_and_validated_on() -> None:
    data = load(DataConfig("digits", validation=0.2))
    train, held = (
        {(image.tobytes(), int(label)) for image, label in zip(*part, strict=True)}
        for part in (data.train, data.validation)
    )
    assert len(data.train.labels) + len(data.validation.labels) == 1797 - 360
    assert not train & held


def _labels_and_images(data: Dataset) -> bytes:
    return data.validation.images.tobytes()


def test_the_digits_are_those_of_scikit_learn() -> None:
    bunch = datasets.load_digits()
    config = DataConfig("digits", validation=0.2)
    # Searches recorded before the digits were ours have this one.
    assert load(config).fingerprint() == "8d6e5c16834d10fa"
    test = load_test(config)
    assert np.array_equal(test.labels, bunch.target[-360:])
    images = np.round(bunch.images[-360:] * (255 / 16))
    assert np.array_equal(test.images[..., 0], images)


def test_the_split_depends_on_its_seed_alone() -> None:
    one = load(DataConfig("digits", validation=0.2))
    load.cache_clear()
    same = load(DataConfig("digits", validation=0.2))
    other = load(DataConfig("digits", validation=0.2, split_seed=1))
    assert _labels_and_images(one) == _labels_and_images(same)
    assert one.fingerprint() == same.fingerprint()
    assert one.fingerprint() != other.fingerprint()


def test_a_folder_without_splits_is_all_training(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _write_images(tmp_path / name, 4, mode="L")
    config = DataConfig(f"folder:{tmp_path}", validation=0.25)
    data = load(config)
    assert data.spec == (7, 9, 1, 2)
    assert data.class_names == ("a", "b")
    with pytest.raises(DataError, match="no test folder, so no test split"):
        load_test(config)


def test_grey_and_colour_mixed_become_colour(tmp_path: Path) -> None:
    _write_images(tmp_path / "a", 3, mode="L")
    _write_images(tmp_path / "b", 3)
    assert load(DataConfig(f"folder:{tmp_path}", validation=0.3)).spec.channels == 3


def _save(tmp: Path, **arrays: np.ndarray) -> str:
    np.savez(tmp / "x.npz", **arrays)  # type: ignore[arg-type]
    return f"npz:{tmp / 'x.npz'}"


IMAGES, LABELS = np.zeros((4, 2, 2, 1), np.uint8), np.array([0, 1, 0, 1])


def _mixed_sizes(tmp: Path) -> str:
    _write_images(tmp / "a", 3)
    _write_images(tmp / "b", 2)
    Image.new("RGB", (4, 4)).save(tmp / "b" / "odd.png")
    return f"folder:{tmp}"


def _empty_class(tmp: Path) -> str:
    _write_images(tmp / "a", 3)
    _write_images(tmp / "b", 0)
    return f"folder:{tmp}"


def _one_class(tmp: Path) -> str:
    _write_images(tmp / "a", 3)
    return f"folder:{tmp}"


def _not_an_image(tmp: Path) -> str:
    _write_images(tmp / "a", 3)
    _write_images(tmp / "b", 3)
    (tmp / "b" / "x.png").write_text("no image")
    return f"folder:{tmp}"


def _not_npz(tmp: Path) -> str:
    (tmp / "x.npz").write_text("no arrays")
    return f"npz:{tmp / 'x.npz'}"


def _pickled(tmp: Path) -> str:
    return _save(tmp, train_images=np.array([{}], object), train_labels=LABELS)


FAULTS: dict[str, tuple[Callable[[Path], str], str]] = {
    "no npz": (lambda tmp: f"npz:{tmp}/none.npz", "there is no such file"),
    "not npz": (_not_npz, "not a NumPy .npz file"),
    "pickled": (_pickled, "train_images is object: want numbers"),
    "no labels": (lambda t: _save(t, train_images=IMAGES), "no array train_labels"),
    "floats": (
        lambda t: _save(t, train_images=IMAGES / 255, train_labels=LABELS),
        "images are float64, want uint8",
    ),
    "flat": (
        lambda t: _save(t, train_images=IMAGES.reshape(4, 4), train_labels=LABELS),
        r"shape \(4, 4\), want \[N, H, W\]",
    ),
    "label count": (
        lambda t: _save(t, train_images=IMAGES, train_labels=LABELS[:3]),
        "want one integer for each of 4 images",
    ),
    "negative": (
        lambda t: _save(t, train_images=IMAGES, train_labels=LABELS - 1),
        "labels run from -1 to 0, want 0 to 29999",
    ),
    "gap": (
        lambda t: _save(t, train_images=IMAGES, train_labels=LABELS * 2),
        "class '1' has 0 training images",
    ),
    "empty": (
        lambda t: _save(t, train_images=IMAGES[:0], train_labels=LABELS[:0]),
        "there are no images",
    ),
    "no folder": (lambda tmp: f"folder:{tmp}/none", "there is no such folder"),
    "mixed sizes": (_mixed_sizes, "images of mixed size.*9x7.*4x4"),
    "empty class": (_empty_class, "is empty"),
    "one class": (_one_class, "has 1 class folders, want 2"),
    "not an image": (_not_an_image, "not a readable image"),
    "unknown": (lambda tmp: "no_such_set", "'no_such_set' is unknown: want digits"),
    "not images": (lambda tmp: "imdb_reviews", "not for image classification"),
    "not prepared": (lambda tmp: "cifar10", "pip install tensorflow-cpu"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said_in_one_line(fault: str, tmp_path: Path) -> None:
    make, message = FAULTS[fault]
    name = make(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        load(DataConfig(name, str(tmp_path / "prepared"), validation=0.3))
    assert "\n" not in str(caught.value)

"""CIFAR-10 and CIFAR-100, from the archives of their authors and prepared before."""

import importlib.util
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from numpy.typing import NDArray
from PIL import Image
from tensorflow_datasets.core.features import image_feature
from tensorflow_datasets.image_classification import cifar

from bqnn.config import DataConfig
from bqnn.data import Images, load, load_test, tfds_source
from bqnn.data.stream import open_streams
from bqnn.errors import DataError

HAS_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None

# Folder, files of the training split, of the test split, of class names, and the number
# of classes by label, as bytes of a record: https://www.cs.toronto.edu/~kriz/cifar.html
Layout = tuple[str, list[str], str, dict[str, int]]
LAYOUTS: dict[str, Layout] = {
    "cifar10": (
        "cifar-10-batches-bin",
        [f"data_batch_{number}.bin" for number in range(1, 6)],
        "test_batch.bin",
        {"batches.meta.txt": 10},
    ),
    "cifar100": (
        "cifar-100-binary",
        ["train.bin"],
        "test.bin",
        {"coarse_label_names.txt": 20, "fine_label_names.txt": 100},
    ),
}


def _records(classes: list[int], count: int, seed: int) -> NDArray[np.uint8]:
    """Make records: a byte for each label, then 3 planes of 32x32.  # [N, L + 3072]."""
    rng = np.random.default_rng(seed)
    labels = [np.arange(count) % number for number in classes]
    pixels = rng.integers(0, 256, (count, 3072))
    return np.column_stack([*labels, pixels]).astype(np.uint8)


def _archive(name: str, directory: Path) -> tuple[Images, Images]:
    """Write an unpacked archive; return what it holds: training and test split."""
    folder, train_files, test_file, class_files = LAYOUTS[name]
    (directory / folder).mkdir(parents=True)
    for file, number in class_files.items():
        names = [f"{name}-{label:03}" for label in range(number)]
        (directory / folder / file).write_text("\n".join(names) + "\n")
    classes = list(class_files.values())
    # Each class twice or more, to have one to validate on.
    train = _records(classes, 2 * classes[-1], seed=0)
    test = _records(classes, classes[-1], seed=1)
    for file, part in zip(train_files, np.split(train, len(train_files)), strict=True):
        (directory / folder / file).write_bytes(part.tobytes())
    (directory / folder / test_file).write_bytes(test.tobytes())
    return _decoded(train), _decoded(test)


def _decoded(records: NDArray[np.uint8]) -> Images:
    planes = records[:, -3072:].reshape(-1, 3, 32, 32)
    return Images(planes.transpose(0, 2, 3, 1), records[:, -3073].astype(np.int32))


@pytest.fixture
def tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the two functions of TensorFlow that preparing CIFAR needs.

    Opening a file and encoding PNG; all else is the real thing.
    """
    if HAS_TENSORFLOW:
        return
    gfile = types.SimpleNamespace(GFile=open)
    fake = types.SimpleNamespace(io=types.SimpleNamespace(gfile=gfile))
    monkeypatch.setattr(cifar, "tf", fake)

    def encode(encoder: Any, pixels: NDArray[np.uint8]) -> bytes:
        return encoder._encode_pil_image(Image.fromarray(pixels))

    monkeypatch.setattr(image_feature._ImageEncoder, "_encode_image", encode)
    monkeypatch.setattr(tfds_source, "_can_prepare", lambda: True)


@pytest.fixture(params=LAYOUTS)
def fetched(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[DataConfig, Images, Images, list[str]]]:
    """Give a data set to prepare, its splits, and the list of downloads."""
    name: str = request.param
    train, test = _archive(name, tmp_path / "archive")
    urls: list[str] = []

    def download(manager: Any, url: str) -> str:
        urls.append(url)
        return str(tmp_path / "archive")

    manager = tfds.download.DownloadManager
    monkeypatch.setattr(manager, "download_and_extract", download)
    load.cache_clear()
    yield DataConfig(name, str(tmp_path / "tfds"), validation=0.5), train, test, urls
    load.cache_clear()


def _set(*parts: Images) -> set[tuple[bytes, int]]:
    return {
        (image.tobytes(), int(label))
        for part in parts
        for image, label in zip(*part, strict=True)
    }


def test_a_data_set_is_prepared_once_and_read_as_its_authors_wrote_it(
    tensorflow: None, fetched: tuple[DataConfig, Images, Images, list[str]]
) -> None:
    config, train, test, urls = fetched
    data = load(config)
    assert data.spec == (32, 32, 3, len(set(train.labels.tolist())))
    assert data.class_names[1] == f"{config.name}-001"
    assert _set(data.train, data.validation) == _set(train)
    assert len(data.train.labels) == len(data.validation.labels) == data.num_classes
    assert _set(load_test(config)) == _set(test)
    # Read again from what was prepared.
    load.cache_clear()
    assert load(config).fingerprint() == data.fingerprint()
    assert len(urls) == 1 and "kriz/cifar-" in urls[0]


def test_what_is_prepared_is_streamed(
    tensorflow: None, fetched: tuple[DataConfig, Images, Images, list[str]]
) -> None:
    config, train, test, _ = fetched
    streams = open_streams(DataConfig(config.name, config.data_dir, 0.0), 8)
    (epoch,) = streams.train(len(train.labels), 0, 0, 0, 0, 1)
    assert sorted(epoch.labels.tolist()) == sorted(train.labels.tolist())
    ((images, labels), mask), *_ = streams.evaluation("test", 64, 0, 1)
    assert images.shape == (64, 8, 8, 3)
    assert streams.class_names[int(labels[0])].startswith(config.name)


def test_a_failure_to_prepare_names_the_data_set(
    tensorflow: None,
    fetched: tuple[DataConfig, Images, Images, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(manager: Any, url: str) -> str:
        raise OSError("no route to host")

    manager = tfds.download.DownloadManager
    monkeypatch.setattr(manager, "download_and_extract", fail)
    config = fetched[0]
    with pytest.raises(DataError, match=f"{config.name}: preparing it failed: no rout"):
        load(config)


@pytest.mark.skipif(HAS_TENSORFLOW, reason="TensorFlow is here: it can be prepared")
def test_without_tensorflow_nothing_is_downloaded(
    fetched: tuple[DataConfig, Images, Images, list[str]],
) -> None:
    config, _, _, urls = fetched
    with pytest.raises(DataError, match="pip install tensorflow-cpu"):
        load(config)
    assert not urls

"""Data that others made to do harm: one clear line, no code run, no memory filled."""

import io
import json
import os
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from bqnn import machine, schema
from bqnn.config import DataConfig
from bqnn.data import load
from bqnn.data.crops import decode
from bqnn.data.dataset import Dataset
from bqnn.data.resize import resized_images
from bqnn.errors import BqnnError, DataError
from tests.helpers.tfds_sets import write_tfds

pytestmark = pytest.mark.usefixtures("no_hang")
LABELS = np.array([0, 1, 0, 1])
Shape = tuple[int, ...]


def _load(name: str, data_dir: Path | None = None) -> Dataset:
    return load(DataConfig(name, str(data_dir) if data_dir else None, validation=0.3))


def _refused(name: str, message: str, data_dir: Path | None = None) -> None:
    with pytest.raises(DataError, match=message) as caught:
        _load(name, data_dir)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def _npz(
    folder: Path,
    shape: Shape = (4, 2, 2, 1),
    data: bytes = bytes(16),
    labels: np.ndarray = LABELS,
    descr: str = "|u1",
    damage: Callable[[bytes], bytes] = lambda content: content,
) -> str:
    """Write a file whose images have a header of our own making."""
    images, classes = io.BytesIO(), io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(images, header)
    np.save(classes, labels)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train_images.npy", images.getvalue() + data)
        archive.writestr("train_labels.npy", classes.getvalue())
    (folder / "x.npz").write_bytes(damage(buffer.getvalue()))
    return f"npz:{folder / 'x.npz'}"


def _encrypted(content: bytes) -> bytes:
    """Set the flag of encryption in every header."""
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        head, *parts = content.split(mark)
        flagged = [p[: place - 4] + b"\x01" + p[place - 3 :] for p in parts]
        content = mark.join([head, *flagged])
    return content


HOSTILE_NPZ: dict[str, tuple[Callable[[Path], str], str]] = {
    "a huge label": (
        lambda tmp: _npz(tmp, labels=np.array([0, 1, 0, 10**12])),
        "labels run from 0 to 1000000000000, want 0 to 29999",
    ),
    "an unsigned label": (
        lambda tmp: _npz(tmp, labels=np.array([0, 1, 0, 2**63], np.uint64)),
        "want 0 to 29999",
    ),
    "a forged shape": (
        lambda tmp: _npz(tmp, (10**13, 2, 2, 1)),
        "is damaged: of shape",
    ),
    "an endless shape": (lambda tmp: _npz(tmp, (2**62,) * 8), "is damaged: of shape"),
    "a negative shape": (lambda tmp: _npz(tmp, (-4, 2, 2, 1)), "is damaged: of shape"),
    "no numbers": (lambda tmp: _npz(tmp, (True, 2), bytes(2)), "not a NumPy .npz file"),
    "no size": (lambda tmp: _npz(tmp, (4, 0, 2, 1), b""), "there are no images"),
    "texts": (lambda tmp: _npz(tmp, (4,), bytes(16), descr="<U1"), "want numbers"),
    "encrypted": (lambda tmp: _npz(tmp, damage=_encrypted), "encrypted"),
    "cut off": (lambda tmp: _npz(tmp, damage=lambda c: c[:-9]), "not a NumPy .npz"),
}


@pytest.mark.parametrize("fault", HOSTILE_NPZ)
def test_an_npz_is_not_believed(fault: str, tmp_path: Path) -> None:
    make, message = HOSTILE_NPZ[fault]
    _refused(make(tmp_path), message)


def test_an_npz_that_unpacks_to_more_than_the_memory_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (4, 1024, 1024, 1)
    name = _npz(tmp_path, shape, bytes(4 << 20))
    assert _load(name).train.images.nbytes < 4 << 20
    load.cache_clear()
    monkeypatch.setattr(machine, "memory", lambda: 7 << 20)
    assert (tmp_path / "x.npz").stat().st_size < 10_000
    _refused(name, r"would take 4,194,\d+ bytes, want 3,670,016 at most")
    images = load(DataConfig("digits", validation=0.2)).train
    with pytest.raises(DataError, match="would take"):
        resized_images(images, 8000)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npz")
    _refused(f"npz:{tmp_path / 'x.npz'}", "not a regular file")
    _refused("npz:/dev/zero", "not a regular file")
    _refused("npz:a\0b", "embedded null byte")


def _chunk(kind: bytes, data: bytes) -> bytes:
    ending = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + ending


def _png(width: int, height: int, extra: bytes = b"") -> bytes:
    """A grey PNG that says it is of some size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", head), extra, _chunk(b"IDAT", zlib.compress(bytes(999)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + _chunk(b"IEND", b"")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path))


def _put(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


_TEXT = _chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 22)))
_LONG = b"k\0" + bytes(1 << 19)
_EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n"
HOSTILE_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bomb": (_put(_png(100_000, 100_000)), "exceeds limit"),
    "a large image": (_put(_png(12_000, 10_000)), "exceeds limit"),
    "more than we take": (_put(_png(9000, 9000)), "81,000,000.*|9,000 x 9,000"),
    "a text": (_put(_png(4, 4, _TEXT)), "Decompressed data too large"),
    "many texts": (_put(_png(4, 4, _chunk(b"tEXt", _LONG) * 130)), "text"),
    "a short head": (_put(_png(4, 4)[:8] + _chunk(b"IHDR", b"abc")), "Truncated IHDR"),
    "another program's": (_put(_EPS), "want PNG, JPEG, BMP, GIF, WEBP, TIFF"),
    "nothing": (_put(b""), "not a readable image"),
    "a pipe": (os.mkfifo, "not a regular file"),
    "a socket": (_socket, "No such device"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "a loop": (lambda path: path.symlink_to(path.name), "symbolic links"),
    "a folder": (lambda path: path.mkdir(), "not a regular file"),
}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of two classes."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for place in range(3):
            Image.new("RGB", (4, 4)).save(tmp_path / name / f"{place}.png")
    return tmp_path


@pytest.mark.parametrize("fault", HOSTILE_FILES)
def test_an_image_file_is_not_believed(fault: str, images: Path) -> None:
    make, message = HOSTILE_FILES[fault]
    make(images / "b" / "x\x1b]0;x\x07.png")
    _refused(f"folder:{images}", message)


def test_a_folder_is_not_believed(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = os.fsencode(images) + b"/\xff"
    os.rename(images / "b", other)
    _refused(f"folder:{images}", r"name of a class is '\\udcff': want text")
    os.rename(other, images / "b")
    monkeypatch.setattr(machine, "memory", lambda: 500)
    _refused(f"folder:{images}", "would take 288 bytes, want 250 at most")
    _refused(f"folder:{'x' * 400}", "File name too long")


def test_an_image_of_a_stream_is_not_believed() -> None:
    for content in (_png(9000, 9000), _EPS):
        with pytest.raises((BqnnError, OSError)):
            decode(content)


def _prepared(directory: Path) -> Path:
    """Write a prepared data set; return its folder."""
    pixels = io.BytesIO()
    Image.new("RGB", (4, 4)).save(pixels, "PNG")
    examples = [{"image": pixels.getvalue(), "label": i % 2} for i in range(4)]
    image = tfds.features.Image(shape=(4, 4, 3))
    return write_tfds(directory, image, num_classes=2, shard=10, train=examples)


METADATA = {
    "a class of its own": (
        "features.json",
        "tensorflow_datasets.core.features.image_feature.Image",
        "payload_of_the_set.Image",
        "is of class 'payload_of_the_set.Image': want one of tensorflow_datasets",
    ),
    "many classes": ("features.json", '"2"', f'"{10**12}"', "want 1 to 30,000"),
    "nesting": ("features.json", '"4"', "[" * 100_000, "damaged|nested"),
    "no keys": ("dataset_info.json", '"label"', "[]", "data set"),
    "a long name": ("dataset_info.json", '"train"', f'"{"9" * 5000}"', "data set"),
}


@pytest.mark.parametrize("fault", METADATA)
def test_metadata_of_a_prepared_set_is_not_believed(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, old, new, message = METADATA[fault]
    path = _prepared(tmp_path) / file
    (tmp_path / "payload_of_the_set.py").write_text("raise SystemExit('it ran')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = path.read_text()
    assert old in text
    _load("tiny", tmp_path)
    load.cache_clear()
    path.write_text(text.replace(old, new))
    _refused("tiny", message, tmp_path)


def test_a_stream_of_countless_images_is_refused(tmp_path: Path) -> None:
    from bqnn.data.stream import open_streams

    path = _prepared(tmp_path) / "dataset_info.json"
    values = json.loads(path.read_text())
    values["splits"][0]["shardLengths"] = [str(10**12)]
    path.write_text(json.dumps(values))
    config = DataConfig("tiny", str(tmp_path))
    with pytest.raises(DataError, match=f"want {schema.MOST_IMAGES:,} at most"):
        open_streams(config, 8)

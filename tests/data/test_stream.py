"""Streaming: every image once, whatever divides or interrupts the reading."""

import io
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from bqnn.config import NetworkConfig
from bqnn.data import Images
from bqnn.data.crops import centre_crop, decode, random_box, random_crop
from bqnn.data.stream import Streams, open_streams
from bqnn.errors import DataError
from bqnn.final.config import FinalConfig, FinalDataConfig, RecipeConfig
from bqnn.final.train import train_block
from bqnn.final.workdir import load_model
from bqnn.space import nsc

Examples = list[dict[str, Any]]

TRAIN, TEST, SIDE = 26, 7, 16


def _jpeg(place: int, mode: str = "RGB") -> bytes:
    """Encode smooth noise, of a size that depends on `place`."""
    rng = np.random.default_rng(place)
    noise = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    size = 20 + 3 * (place % 7), 18 + 5 * (place % 5)
    buffer = io.BytesIO()
    noise.resize(size).convert(mode).save(buffer, "JPEG")
    return buffer.getvalue()


def _examples(count: int, mode: str = "RGB", label: int | None = None) -> Examples:
    """Make examples; unless all have one label, it tells them apart."""
    return [
        {"image": _jpeg(i, mode), "label": i if label is None else label}
        for i in range(count)
    ]


def _prepare(
    directory: Path,
    name: str = "tiny",
    file_format: str = "array_record",
    **splits: Examples,
) -> None:
    """Write a data set as tensorflow_datasets does, which TensorFlow does not need."""
    folder = directory / name / "1.0.0"
    folder.mkdir(parents=True)
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(num_classes=TRAIN),
        }
    )
    identity = tfds.core.dataset_info.DatasetIdentity(
        name, tfds.core.Version("1.0.0"), str(folder), "tests"
    )
    info = tfds.core.DatasetInfo(
        builder=identity, features=features, supervised_keys=("image", "label")
    )
    writer = tfds.core.SequentialWriter(
        info, max_examples_per_shard=TRAIN // 2, file_format=file_format
    )
    writer.initialize_splits(list(splits))
    writer.add_examples(splits)
    writer.close_all()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tfds")
    _prepare(path, train=_examples(TRAIN), test=_examples(TEST))
    return path


def _streams(directory: Path, **changes: object) -> Streams:
    settings = {"name": "tiny", "resolution": SIDE, "streaming": True, **changes}
    config = FinalDataConfig(data_dir=str(directory), **settings)  # type: ignore[arg-type]
    return open_streams(config, config.resolution, config.workers)


def _train(
    streams: Streams,
    batch: int = 4,
    seed: int = 3,
    epoch: int = 0,
    start: int = 0,
    processes: int = 1,
) -> list[Images]:
    """Read an epoch by all processes, and put their parts together."""
    parts = [
        list(streams.train(batch, seed, epoch, start, process, processes))
        for process in range(processes)
    ]
    return [_joined(step) for step in zip(*parts, strict=True)]


def _joined(parts: tuple[Images, ...]) -> Images:
    return Images(*map(np.concatenate, zip(*parts, strict=True)))


def _same(one: list[Images], other: list[Images]) -> bool:
    return len(one) == len(other) and all(
        (a.labels == b.labels).all() and (a.images == b.images).all()
        for a, b in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module")
def epoch(directory: Path) -> list[Images]:
    return _train(_streams(directory))


def test_a_data_set_is_described_before_it_is_read(directory: Path) -> None:
    streams = _streams(directory)
    assert streams.images == (SIDE, SIDE, 3, TRAIN)
    assert streams.class_names == tuple(map(str, range(TRAIN)))
    assert streams.train_images == TRAIN
    assert [p.name[-5:] for p in sorted(directory.rglob("*train*"))] == [
        "00000",
        "00001",
    ]


def test_an_epoch_reads_every_image_once_in_whole_batches(directory: Path) -> None:
    whole = _train(_streams(directory), batch=13)
    assert sorted(_joined(tuple(whole)).labels.tolist()) == list(range(TRAIN))
    for images, labels in whole:
        assert images.shape == (13, SIDE, SIDE, 3) and images.dtype == np.uint8
        assert labels.dtype == np.dtype(np.int32)
    partial = _train(_streams(directory), batch=10)
    assert [len(labels) for _, labels in partial] == [10, 10]
    assert not _train(_streams(directory), batch=TRAIN + 1)


def test_order_and_crops_depend_on_seed_and_epoch_alone(
    directory: Path, epoch: list[Images]
) -> None:
    assert _same(_train(_streams(directory)), epoch)
    one = _joined(tuple(_train(_streams(directory), batch=13)))
    for other in (
        _joined(tuple(_train(_streams(directory), batch=13, epoch=1))),
        _joined(tuple(_train(_streams(directory), batch=13, seed=4))),
    ):
        assert (one.labels != other.labels).any()
        again = other.images[np.argsort(other.labels)]
        crops = one.images[np.argsort(one.labels)] != again
        assert crops.any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("start", [1, 5, 6])
def test_an_epoch_goes_on_where_it_was_left(
    directory: Path, epoch: list[Images], start: int
) -> None:
    assert _same(_train(_streams(directory), start=start), epoch[start:])


def test_processes_share_the_same_batches(directory: Path, epoch: list[Images]) -> None:
    assert _same(_train(_streams(directory), processes=2), epoch)
    late = _train(_streams(directory), start=4, processes=4)
    assert _same(late, epoch[4:])


def test_workers_change_nothing_and_outlive_an_interrupt(
    directory: Path, epoch: list[Images]
) -> None:
    reading = _streams(directory, workers=2).train(4, 3, 0, 1, 0, 1)
    found = [next(reading), next(reading)]
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:
        assert worker.pid
        os.kill(worker.pid, signal.SIGINT)
    assert _same(found + list(reading), epoch[1:])


def test_a_reading_can_be_broken_off(directory: Path, epoch: list[Images]) -> None:
    reading = _streams(directory).train(4, 3, 0, 0, 0, 1)
    assert _same([next(reading)], epoch[:1])
    reading.close()  # type: ignore[attr-defined]
    assert not list(reading)


@pytest.mark.parametrize("processes", [1, 2])
def test_evaluation_counts_every_image_once(directory: Path, processes: int) -> None:
    found: list[int] = []
    lengths = set()
    for process in range(processes):
        batches = _streams(directory).evaluation("test", 4, process, processes)
        for (images, labels), mask in batches:
            assert images.shape == (4 // processes, SIDE, SIDE, 3)
            found += labels[mask].tolist()
            lengths.add(len(mask))
    assert sorted(found) == list(range(TEST))
    assert lengths == {4 // processes}


def test_evaluation_sees_the_centre_and_no_randomness(directory: Path) -> None:
    (images, labels), mask = next(
        iter(_streams(directory).evaluation("test", TEST, 0, 1))
    )
    assert mask.all()
    for pixels, label in zip(images, labels, strict=True):
        want = centre_crop(decode(_jpeg(int(label))), SIDE)
        np.testing.assert_array_equal(pixels, want)


def test_the_validation_part_is_held_out(directory: Path) -> None:
    streams = _streams(directory, validation=0.3)
    other = _streams(directory, validation=0.3, split_seed=1)
    held, held_other = (
        {
            int(label)
            for (_, labels), _ in s.evaluation("validation", 8, 0, 1)
            for label in labels
        }
        for s in (streams, other)
    )
    learnt = _joined(tuple(_train(streams, batch=9))).labels
    assert streams.train_images == 18 and len(held) == 8
    assert not held & set(learnt.tolist())
    assert held != held_other
    assert not list(_streams(directory).evaluation("validation", 8, 0, 1))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_become_rgb(tmp_path: Path, mode: str) -> None:
    _prepare(tmp_path, train=_examples(2, mode), test=_examples(1))
    ((images, labels),) = _train(_streams(tmp_path), batch=2)
    assert images.shape == (2, SIDE, SIDE, 3)
    if mode == "L":
        assert (images == images[..., :1]).all()
    else:
        # Not inverted: about the colours of the same image in RGB.
        colour = np.stack(
            [np.array(decode(_jpeg(int(i)))).mean((0, 1)) for i in labels]
        )
        assert np.abs(images.mean((1, 2)) - colour).max() < 60


def test_a_test_split_without_labels_gives_way_to_the_validation_split(
    tmp_path: Path,
) -> None:
    hidden = _examples(3, label=-1)
    _prepare(tmp_path, train=_examples(4), validation=_examples(5), test=hidden)
    ((_, labels), mask), *_ = _streams(tmp_path).evaluation("test", 5, 0, 1)
    assert labels.tolist() == list(range(5)) and mask.all()


def _damaged(tmp: Path) -> None:
    broken = {"image": _jpeg(0)[:200], "label": 0}
    _prepare(tmp, train=[broken] * 4)


FAULTS: dict[str, tuple[Callable[[Path], None], dict[str, object], str]] = {
    "no resolution": (
        lambda tmp: None,
        {"resolution": None, "streaming": False},
        "set data.resolution",
    ),
    "arrays": (lambda tmp: None, {"name": "npz:x.npz"}, "cannot be streamed"),
    "unknown": (lambda tmp: None, {}, "'tiny' is unknown"),
    "not prepared": (lambda tmp: None, {"name": "cifar10"}, "is not prepared in"),
    "no training split": (
        lambda tmp: _prepare(tmp, test=_examples(1)),
        {},
        "no train split, only test",
    ),
    "none to learn from": (
        lambda tmp: _prepare(tmp, train=_examples(1)),
        {"validation": 0.5},
        "no images to learn from",
    ),
    "no test split": (
        lambda tmp: _prepare(tmp, train=_examples(4)),
        {},
        "neither a test nor a validation split",
    ),
    "not an image": (_damaged, {}, r"tiny train: image \d cannot be read"),
    "bad label": (
        lambda tmp: _prepare(tmp, train=_examples(4, label=-1)),
        {},
        "the label of image . is -1, want 0 to 25",
    ),
    "other format": (
        lambda tmp: _foreign(tmp),
        {},
        "must be prepared with file_format='array_record'",
    ),
}


def _foreign(tmp: Path) -> None:
    _prepare(tmp, train=_examples(4))
    path = tmp / "tiny" / "1.0.0" / "dataset_info.json"
    path.write_text(path.read_text().replace("array_record", "tfrecord"))


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said_in_one_line(fault: str, tmp_path: Path) -> None:
    make, changes, message = FAULTS[fault]
    make(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        streams = _streams(tmp_path, **changes)
        list(streams.evaluation("test", 2, 0, 1)) if fault == "no test split" else (
            list(streams.train(2, 0, 0, 0, 0, 1))
        )
    assert "\n" not in str(caught.value)


def test_a_random_box_keeps_to_area_and_aspect() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([random_box(400, 300, rng) for _ in range(500)])
    left, upper, right, lower = boxes.T
    assert left.min() >= 0 and upper.min() >= 0
    assert right.max() <= 400 and lower.max() <= 300
    width, height = right - left, lower - upper
    area = width * height / (400 * 300)
    # Rounding to whole pixels moves both a little.
    assert 0.07 < area.min() < 0.12 and 0.9 < area.max() <= 1
    assert 0.73 < (width / height).min() < 0.78
    assert 1.28 < (width / height).max() < 1.36


def test_where_no_box_fits_the_largest_central_one_is_taken() -> None:
    # 90:1, so 3:4 to 4:3 needs at most 2 % of the area.
    rng = np.random.default_rng(0)
    assert random_box(900, 10, rng) == (443, 0, 456, 10)
    assert random_box(10, 900, rng) == (0, 443, 10, 456)


def test_a_random_crop_resizes_its_box() -> None:
    image = decode(_jpeg(5))
    box = random_box(image.width, image.height, np.random.default_rng(1))
    want = image.crop(box).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    got = random_crop(image, SIDE, np.random.default_rng(1))
    np.testing.assert_array_equal(got, want)


def test_the_centre_crop_keeps_seven_eighths_of_the_short_side() -> None:
    # Columns 0 to 511; resized to 256 high, 512 wide; columns 144 to 367 are kept.
    ramp = np.broadcast_to(np.arange(512)[None, :, None] // 2, (256, 512, 3))
    crop = centre_crop(Image.fromarray(ramp.astype(np.uint8)), 224)
    np.testing.assert_array_equal(crop, ramp[:224, 144:368])


def test_a_training_goes_on_in_the_middle_of_an_epoch_bit_for_bit(
    directory: Path, tmp_path: Path
) -> None:
    data = FinalDataConfig(
        "tiny", str(directory), validation=0.2, resolution=SIDE, streaming=True
    )
    recipe = RecipeConfig(epochs=2, batch=4, learning_rate=0.01, threads=1)
    network = NetworkConfig("auto", (4,), repeats=1)
    config, block = FinalConfig(data, network, recipe), nsc.parse("1,1,3,0,0")
    calls = iter(range(100))

    def interrupted() -> bool:
        return next(calls) == 7  # 5 steps an epoch: after the second of the second

    with pytest.raises(KeyboardInterrupt):
        train_block(block, config, tmp_path / "broken", interrupted)
    broken = train_block(block, config, tmp_path / "broken")
    whole = train_block(block, config, tmp_path / "whole")
    assert [row["step"] for row in whole["history"]] == [5, 10]
    assert broken["test"] == whole["test"]
    models = [load_model(tmp_path / name) for name in ("broken", "whole")]
    leaves = [jax.tree.leaves(dict(model.variables)) for model in models]
    for one, other in zip(*leaves, strict=True):
        np.testing.assert_array_equal(one, other)

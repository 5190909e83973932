"""Streaming: every image once, whatever divides or interrupts the reading."""

import multiprocessing
import os
import signal
from pathlib import Path

import jax
import numpy as np
import pytest

from bqnn.config import NetworkConfig
from bqnn.data import Images
from bqnn.data.crops import centre_crop, decode
from bqnn.data.stream import Streams
from bqnn.final.config import FinalConfig, FinalDataConfig, RecipeConfig
from bqnn.final.train import train_block
from bqnn.final.workdir import load_model
from bqnn.space import nsc
from tests.helpers.tfds_sets import (
    CLASSES,
    SIDE,
    jpeg,
    jpeg_examples,
    open_tiny,
    write_jpegs,
)

TRAIN, TEST = CLASSES, 7


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tfds")
    write_jpegs(path, train=jpeg_examples(TRAIN), test=jpeg_examples(TEST))
    return path


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
    return _train(open_tiny(directory))


def test_a_data_set_is_described_before_it_is_read(directory: Path) -> None:
    streams = open_tiny(directory)
    assert streams.images == (SIDE, SIDE, 3, TRAIN)
    assert streams.class_names == tuple(map(str, range(TRAIN)))
    assert streams.train_images == TRAIN
    assert [p.name[-5:] for p in sorted(directory.rglob("*train*"))] == [
        "00000",
        "00001",
    ]


def test_an_epoch_reads_every_image_once_in_whole_batches(directory: Path) -> None:
    whole = _train(open_tiny(directory), batch=13)
    assert sorted(_joined(tuple(whole)).labels.tolist()) == list(range(TRAIN))
    for images, labels in whole:
        assert images.shape == (13, SIDE, SIDE, 3) and images.dtype == np.uint8
        assert labels.dtype == np.dtype(np.int32)
    partial = _train(open_tiny(directory), batch=10)
    assert [len(labels) for _, labels in partial] == [10, 10]
    assert not _train(open_tiny(directory), batch=TRAIN + 1)


def test_order_and_crops_depend_on_seed_and_epoch_alone(
    directory: Path, epoch: list[Images]
) -> None:
    assert _same(_train(open_tiny(directory)), epoch)
    one = _joined(tuple(_train(open_tiny(directory), batch=13)))
    for other in (
        _joined(tuple(_train(open_tiny(directory), batch=13, epoch=1))),
        _joined(tuple(_train(open_tiny(directory), batch=13, seed=4))),
    ):
        assert (one.labels != other.labels).any()
        again = other.images[np.argsort(other.labels)]
        crops = one.images[np.argsort(one.labels)] != again
        assert crops.any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("start", [1, 5, 6])
def test_an_epoch_goes_on_where_it_was_left(
    directory: Path, epoch: list[Images], start: int
) -> None:
    assert _same(_train(open_tiny(directory), start=start), epoch[start:])


def test_processes_share_the_same_batches(directory: Path, epoch: list[Images]) -> None:
    assert _same(_train(open_tiny(directory), processes=2), epoch)
    late = _train(open_tiny(directory), start=4, processes=4)
    assert _same(late, epoch[4:])


def test_workers_change_nothing_and_outlive_an_interrupt(
    directory: Path, epoch: list[Images]
) -> None:
    reading = open_tiny(directory, workers=2).train(4, 3, 0, 1, 0, 1)
    found = [next(reading), next(reading)]
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:
        assert worker.pid
        os.kill(worker.pid, signal.SIGINT)
    assert _same(found + list(reading), epoch[1:])


def test_a_reading_can_be_broken_off(directory: Path, epoch: list[Images]) -> None:
    reading = open_tiny(directory).train(4, 3, 0, 0, 0, 1)
    assert _same([next(reading)], epoch[:1])
    reading.close()  # type: ignore[attr-defined]
    assert not list(reading)


@pytest.mark.parametrize("processes", [1, 2])
def test_evaluation_counts_every_image_once(directory: Path, processes: int) -> None:
    found: list[int] = []
    lengths = set()
    for process in range(processes):
        batches = open_tiny(directory).evaluation("test", 4, process, processes)
        for (images, labels), mask in batches:
            assert images.shape == (4 // processes, SIDE, SIDE, 3)
            found += labels[mask].tolist()
            lengths.add(len(mask))
    assert sorted(found) == list(range(TEST))
    assert lengths == {4 // processes}


def test_evaluation_sees_the_centre_and_no_randomness(directory: Path) -> None:
    (images, labels), mask = next(
        iter(open_tiny(directory).evaluation("test", TEST, 0, 1))
    )
    assert mask.all()
    for pixels, label in zip(images, labels, strict=True):
        want = centre_crop(decode(jpeg(int(label))), SIDE)
        np.testing.assert_array_equal(pixels, want)


def test_the_validation_part_is_held_out(directory: Path) -> None:
    streams = open_tiny(directory, validation=0.3)
    other = open_tiny(directory, validation=0.3, split_seed=1)
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
    assert not list(open_tiny(directory).evaluation("validation", 8, 0, 1))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_become_rgb(tmp_path: Path, mode: str) -> None:
    write_jpegs(tmp_path, train=jpeg_examples(2, mode), test=jpeg_examples(1))
    ((images, labels),) = _train(open_tiny(tmp_path), batch=2)
    assert images.shape == (2, SIDE, SIDE, 3)
    if mode == "L":
        assert (images == images[..., :1]).all()
    else:
        # Not inverted: about the colours of the same image in RGB.
        colour = np.stack([np.array(decode(jpeg(int(i)))).mean((0, 1)) for i in labels])
        assert np.abs(images.mean((1, 2)) - colour).max() < 60


def test_a_test_split_without_labels_gives_way_to_the_validation_split(
    tmp_path: Path,
) -> None:
    hidden = jpeg_examples(3, label=-1)
    write_jpegs(
        tmp_path, train=jpeg_examples(4), validation=jpeg_examples(5), test=hidden
    )
    ((_, labels), mask), *_ = open_tiny(tmp_path).evaluation("test", 5, 0, 1)
    assert labels.tolist() == list(range(5)) and mask.all()


@pytest.mark.quick_compilation
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

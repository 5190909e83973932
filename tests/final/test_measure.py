"""Measuring a trained network: which images, their logits, and the speed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bqnn.data import Images, load_test, stream
from bqnn.errors import DataError
from bqnn.final import measure
from bqnn.final.config import FinalConfig, FinalDataConfig
from bqnn.final.job import TrainingRun
from bqnn.final.measure import MeasureError
from bqnn.networks.plan import ImageSpec
from bqnn.space import nsc
from tests.helpers.networks import SPEC

BLOCK = nsc.parse("1,1,3,0,0;2,3,3,1,0")


def _run(data: FinalDataConfig, spec: ImageSpec = SPEC) -> TrainingRun:
    """A training of which only the data matters."""
    names = tuple(map(str, range(spec.num_classes)))
    mean = np.zeros(spec.channels, np.float32)
    return TrainingRun(BLOCK, FinalConfig(data=data), spec, names, mean, mean + 1)


def test_every_image_of_the_test_split_comes_once() -> None:
    data = FinalDataConfig(name="digits")
    want, found = load_test(data), [*measure.test_batches(_run(data), 100)]
    assert [mask.sum() for _, mask in found] == [100, 100, 100, 60]
    labels = np.concatenate([images.labels[mask] for images, mask in found])
    np.testing.assert_array_equal(labels, want.labels)
    pixels = np.concatenate([images.images[mask] for images, mask in found])
    np.testing.assert_array_equal(pixels, want.images)


def test_a_missing_test_split_is_told(tmp_path: Path) -> None:
    images, labels = np.zeros((4, 8, 8), np.uint8), np.zeros(4, np.int32)
    np.savez(tmp_path / "data.npz", x_train=images, y_train=labels)
    data = FinalDataConfig(name=f"npz:{tmp_path / 'data.npz'}")
    with pytest.raises(DataError, match="test"):
        next(measure.test_batches(_run(data), 2))


class _FakeStreams:
    images = ImageSpec(8, 8, 3, 2)
    class_names = ("0", "1")

    def evaluation(self, *arguments: object) -> Iterator[object]:
        yield arguments


def test_a_streamed_test_split_is_read_whole_by_one_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "open_streams", lambda *_: _FakeStreams())
    data = FinalDataConfig(name="tiny", streaming=True, resolution=8)
    found: Iterator[object] = measure.test_batches(_run(data, _FakeStreams.images), 4)
    assert [*found] == [("test", 4, 0, 1)]
    with pytest.raises(DataError, match="data set tiny: it has ImageSpec"):
        next(measure.test_batches(_run(data, ImageSpec(8, 8, 3, 5)), 4))


def test_padding_is_left_out_and_nan_is_an_error() -> None:
    images = Images(np.zeros((2, 1, 1, 1), np.uint8), np.array([1, 0], np.int32))
    batches = [(images, np.array([True, True])), (images, np.array([True, False]))]
    logits, labels = measure.test_logits(
        lambda x: np.ones((len(x), 3), np.float32), iter(batches)
    )
    assert logits.shape == (3, 3)
    assert labels.tolist() == [1, 0, 1]
    with pytest.raises(MeasureError, match="its training diverged"):
        measure.test_logits(
            lambda x: np.full((len(x), 3), np.nan, np.float32), iter(batches)
        )


def test_speed_is_that_of_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    # Every call takes 10 ms, but each tenth 30, by a clock of our own.
    clock, sizes = [0.0], list[int]()

    def classify(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        clock[0] += 0.03 if len(sizes) % 10 == 0 else 0.01
        return np.zeros((len(images), 2), np.float32)

    monkeypatch.setattr(measure.time, "perf_counter", lambda: clock[0])
    speed = measure.measure_speed(classify, (2, 2, 1), 6)
    assert speed.latency == pytest.approx(10)
    assert speed.latency95 == pytest.approx(30)
    assert speed.images_per_second == pytest.approx(6 / 0.012, 0.05)
    assert sizes.count(1) >= 50 and set(sizes) == {1, 6}

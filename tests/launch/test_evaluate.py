"""`launch.evaluate` as a user runs it, and the parts that it is made of."""

import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from bqnn.data import Images, load_test, stream
from bqnn.errors import ConfigError, DataError
from bqnn.final import measure
from bqnn.final.config import FinalConfig, FinalDataConfig
from bqnn.final.job import TrainingRun
from bqnn.final.measure import Measured, MeasureError, Speed
from bqnn.final.metrics import ClassMetrics, metrics
from bqnn.networks.plan import ImageSpec
from bqnn.report.confusion import draw_confusion, save_confusion
from bqnn.report.final_tables import class_table, measured_summary
from bqnn.space import nsc
from tests.helpers import programs

SPEC = ImageSpec(8, 8, 1, 10)
BLOCK = nsc.parse("1,1,3,0,0;2,3,3,1,0")


def _run(data: FinalDataConfig, spec: ImageSpec = SPEC) -> TrainingRun:
    """A training of which only the data matters."""
    names = tuple(map(str, range(spec.num_classes)))
    mean = np.zeros(spec.channels, np.float32)
    return TrainingRun(BLOCK, FinalConfig(data=data), spec, names, mean, mean + 1)


def test_a_training_is_measured_as_it_measured_itself(
    trained: Path, tmp_path: Path
) -> None:
    workdir = Path(shutil.copytree(trained, tmp_path / "run"))
    result = json.loads((workdir / "result.json").read_text())
    found = programs.run("evaluate", f"--workdir={workdir}", "--batch=100")
    assert (found.status, found.err) == (0, "")
    accuracy = f"{result['test']['accuracy']:.2%}"
    assert re.search(f"top-1 accuracy +│ +{accuracy} │", found.out)
    values = json.loads((workdir / "evaluation" / "metrics.json").read_text())
    assert values["top1"] == pytest.approx(result["test"]["accuracy"])
    assert values["loss"] == pytest.approx(result["test"]["loss"], 1e-4)
    assert values["images"] == 360 and values["batch"] == 100
    confusion = np.array(values["confusion"])
    assert confusion.trace() / 360 == pytest.approx(values["top1"])
    assert confusion.sum(1).tolist() == values["classes"]["images"]
    assert 0 < values["latency_ms"] <= values["latency95_ms"]
    assert values["images_per_second"] > 0
    with Image.open(workdir / "evaluation" / "confusion.png") as picture:
        assert picture.format == "PNG"


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


def test_what_is_undefined_is_null_or_a_dash() -> None:
    logits = np.eye(3, dtype=np.float32)[[0, 1]]
    found = metrics(logits, np.array([0, 0], np.int32))
    measured = Measured(found, Speed(1.0, 2.0, 3.0), 12_345, 2)
    values = json.loads(json.dumps(measure.to_json(measured), allow_nan=False))
    assert values["classes"]["recall"] == [0.5, None, None]
    assert values["top5"] is None
    text = _printed(class_table(found.classes, ("[bold]a", "b", "c")))
    assert "│ [bold]a │      2 │            50.00% │   100.00% │ 66.67% │" in text
    assert "│ c       │      0 │                 - │         - │      - │" in text
    text = _printed(measured_summary(measured, "x"))
    assert "top-5" not in text and "12.3 k" in text


def test_of_many_classes_the_worst_are_shown() -> None:
    f1 = np.linspace(1, 0, 30)
    f1[29] = np.nan
    classes = ClassMetrics(np.full(30, 7), f1, f1, f1)
    table = class_table(classes, [f"class {place}" for place in range(30)])
    text = _printed(table)
    assert "The 10 worst of 30 classes, by F1" in text
    names = [str(cell) for cell in table.columns[0].cells]
    assert names == [f"class {x}" for x in range(28, 18, -1)]


def _printed(table: object) -> str:
    console = Console(width=120, file=io.StringIO())
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_few_classes_have_names_and_counts() -> None:
    axes = Figure().add_subplot()
    confusion = np.array([[3, 1, 0], [0, 0, 0], [0, 2, 2]])
    image = draw_confusion(axes, confusion, ("cat", "$x$", "a class of a long name"))
    assert [text.get_text() for text in axes.texts] == ["3", "1", "2", "2"]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["cat", r"\$x\$", "a class of a long n…"]
    want = np.array([[0.75, 0.25, 0], [0, 0, 0], [0, 0.5, 0.5]])
    np.testing.assert_allclose(np.asarray(image.get_array()), want)


def test_many_classes_have_neither(tmp_path: Path) -> None:
    axes, confusion = Figure().add_subplot(), np.eye(100, dtype=np.int64)
    names = [f"class {place}" for place in range(100)]
    draw_confusion(axes, confusion, names)
    assert not axes.texts
    assert len(axes.get_yticks()) < 15
    save_confusion(confusion, names, "100 % of $", tmp_path / "many.png")
    with pytest.raises(ConfigError, match="cannot be written"):
        save_confusion(confusion, names, "", tmp_path / "none" / "many.png")

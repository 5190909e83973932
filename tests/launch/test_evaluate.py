"""`launch.evaluate` as a user runs it, and its tables."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from bqnn.final import measure
from bqnn.final.measure import Measured, Speed
from bqnn.final.metrics import ClassMetrics, metrics
from bqnn.report.final_tables import class_table, measured_summary
from tests.helpers import programs


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

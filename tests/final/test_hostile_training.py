"""Work directories of trainings that others made to do harm: one clear line."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bqnn.errors import BqnnError
from bqnn.final import workdir
from bqnn.final.checkpoint import CheckpointError, Checkpoints, Saved
from bqnn.final.config import FinalConfig, FinalDataConfig, RecipeConfig
from bqnn.final.job import TrainingRun
from bqnn.final.workdir import WorkdirError, load_model, read_result, read_run
from bqnn.report.foreign import foreign
from bqnn.space import nsc
from tests.helpers.fuzzing import CONTROL, attempt, changed_json, printed
from tests.helpers.networks import SPEC, small
from tests.helpers.thorough import times
from tests.helpers.trainings import first_state
from tests.launch.test_train import ROW

pytestmark = pytest.mark.usefixtures("no_hang")

CONFIG = FinalConfig(
    FinalDataConfig("digits", validation=0.2),
    small(widths=(4,)),
    RecipeConfig(epochs=1, batch=64, average=0.9, clip=1.0, accumulate=2),
)
RUN = TrainingRun(
    nsc.parse("1,1,3,0,0;2,7,0,0,0"),
    CONFIG,
    SPEC,
    tuple(f"class {place}" for place in range(9)) + (CONTROL,),
    np.array([120], np.float32),
    np.array([60], np.float32),
)
RESULT = {"epochs": 1, "seconds": 2.0, "history": [ROW], "test": None}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work directory of a training."""
    folder = tmp_path_factory.mktemp("trained")
    workdir.start(folder, RUN)
    checkpoints = Checkpoints(folder)
    checkpoints.save(1, Saved(first_state(RUN), [ROW]), None)
    checkpoints.close()
    workdir.write_json(folder / workdir.RESULT, RESULT)
    return folder


@pytest.fixture
def harmed(trained: Path, tmp_path: Path) -> Path:
    """A copy to do harm to."""
    return shutil.copytree(trained, tmp_path / "run")


def _change(path: Path, **changes: Any) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**values, **changes}))


def test_a_training_reads_as_it_was_written(trained: Path) -> None:
    assert read_result(trained) == RESULT
    found, model = read_run(trained), load_model(trained)
    assert found[:4] == RUN[:4]
    np.testing.assert_array_equal(
        model.variables["params"]["stem"]["conv"]["kernel"],
        first_state(RUN).variables["params"]["stem"]["conv"]["kernel"],
    )


RUNS: dict[str, tuple[dict[str, Any], str]] = {
    "another version": ({"format": 2}, "format is 2: want an integer from 1 to 1"),
    "no block": ({"block": None}, "block is None: want text"),
    "no configuration": ({"config": []}, r"config is \[\]|configuration is \[\]"),
    "epochs": ({"config": {"train": {"epochs": 10**12}}}, "train.epochs is 10000000"),
    "images": ({"images": {"height": 8}}, "images has no height, width"),
    "no image": ({"images": [8, 8, 0, 10]}, "images is 0: want an integer"),
    "classes": ({"images": [8, 8, 1, 11]}, "class_names are 10: want 11"),
    "channels": ({"images": [8, 8, 3, 10]}, "one for each of 3 channels"),
    "names": ({"class_names": [[]]}, r"class_names is \[\]: want text"),
    "mean": ({"mean": [float("nan")]}, "mean is nan: want a number"),
    "std": ({"std": 60}, "std is 60: want a number by channel"),
    "a vast network": (
        {"config": {"network": {"widths": [10_000] * 10, "repeats": 10}}},
        "the network needs",
    ),
}


@pytest.mark.parametrize("fault", RUNS)
def test_what_is_trained_is_not_believed(fault: str, harmed: Path) -> None:
    changes, message = RUNS[fault]
    _change(harmed / workdir.RUN, **changes)
    for read in (read_run, load_model):
        with pytest.raises(WorkdirError, match=rf"run.json: damaged \(.*{message}"):
            read(harmed)


RESULTS: dict[str, tuple[dict[str, Any], str]] = {
    "epochs": ({"epochs": "1"}, "epochs is '1': want an integer"),
    "history": ({"history": {}}, r"history is \{\}: want a list of epochs"),
    "a row": ({"history": [[]]}, r"history is \[\]: want fields by name"),
    "no loss": ({"history": [{}]}, "history has no epoch"),
    "accuracy": ({"test": {"loss": 1, "accuracy": 7}}, "test: accuracy is 7: want"),
    "text": ({"test": {"loss": "x", "accuracy": 0}}, "loss is 'x': want a number"),
}


@pytest.mark.parametrize("fault", RESULTS)
def test_a_result_is_not_believed(fault: str, harmed: Path) -> None:
    changes, message = RESULTS[fault]
    _change(harmed / workdir.RESULT, **changes)
    with pytest.raises(WorkdirError, match=rf"result.json: damaged \(.*{message}"):
        read_result(harmed)
    (harmed / workdir.RESULT).write_text("[]")
    with pytest.raises(WorkdirError, match=r"is \[\]: want fields by name"):
        read_result(harmed)


def test_a_loss_may_be_infinite(harmed: Path) -> None:
    _change(harmed / workdir.RESULT, test={"loss": float("inf"), "accuracy": 0.1})
    found = read_result(harmed)
    assert found and found["test"] == {"loss": float("inf"), "accuracy": 0.1}


def _last(folder: Path) -> Path:
    return folder / "checkpoints" / "1"


def _pipe(folder: Path) -> None:
    os.mkfifo(_last(folder) / "state" / "d" / "pipe")


def _row(folder: Path) -> None:
    path = _last(folder) / "history" / "metadata"
    path.write_text(json.dumps({"epochs": [{**ROW, "loss": "x"}]}))


CHECKPOINTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (_pipe, "is not a regular file"),
    "rows": (_row, "loss is 'x': want a number"),
    "no history": (lambda f: shutil.rmtree(_last(f) / "history"), "checkpoint in"),
    "no state": (lambda f: shutil.rmtree(_last(f) / "state"), "checkpoint in"),
    "metadata": (
        lambda f: (_last(f) / "state" / "_METADATA").write_text("[" * 99_999),
        "checkpoint in",
    ),
}


@pytest.mark.parametrize("fault", CHECKPOINTS)
def test_a_checkpoint_is_not_believed(fault: str, harmed: Path) -> None:
    harm, message = CHECKPOINTS[fault]
    harm(harmed)
    with pytest.raises((CheckpointError, WorkdirError), match=message) as caught:
        load_model(harmed)
    assert str(caught.value).isprintable()


def test_weights_are_not_made_before_the_checkpoint_is_known_to_have_them(
    harmed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("weights are drawn")

    monkeypatch.setattr("bqnn.final.step.init_variables", never)
    _change(harmed / workdir.RUN, config={"network": {"widths": [5000], "repeats": 1}})
    with pytest.raises(BqnnError, match="is of another network or recipe"):
        load_model(harmed)


@settings(
    max_examples=times(2000, 100),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_a_changed_training(trained: Path, harmed: Path, data: st.DataObject) -> None:
    for name in (workdir.RUN, workdir.RESULT):
        values = json.loads((trained / name).read_text(encoding="utf-8"))
        text = changed_json(data.draw, values)
        (harmed / name).write_text(text, "utf-8", "surrogatepass")

    def evaluate() -> str:
        model = load_model(harmed)
        return printed(foreign(f"{model.block} {' '.join(model.class_names)}"))

    def go_on() -> str:
        workdir.start(harmed, RUN)
        return printed(foreign(str(read_result(harmed))))

    attempt(evaluate)
    attempt(go_on)

"""Full training as a user runs it: real processes, kills, mistakes, a full disk."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from bqnn.final.checkpoint import CheckpointError, Checkpoints, Saved
from bqnn.final.workdir import WorkdirError, load_model, read_run
from tests.helpers import programs
from tests.helpers.shared import TRAINED_BLOCK, TRAINED_FLAGS
from tests.helpers.thorough import times
from tests.helpers.trainings import first_state

# Of an epoch, as a checkpoint keeps it.
ROW = {
    "epoch": 1,
    "step": 9,
    "learning_rate": 0.1,
    "loss": 0.5,
    "accuracy": 0.75,
    "seconds": 2.0,
    "images_per_second": 99.0,
}


def _train(
    workdir: Path, *arguments: str, block: str = TRAINED_BLOCK
) -> tuple[str, ...]:
    where = f"--workdir={workdir}", f"--block={block}"
    return ("train", *where, *TRAINED_FLAGS, *arguments)


@pytest.fixture
def whole(trained: Path, tmp_path: Path) -> Path:
    """A copy of a finished training: a training locks its directory."""
    return Path(shutil.copytree(trained, tmp_path / "whole"))


def _last_state(workdir: Path) -> dict[str, np.ndarray]:
    checkpoints = Checkpoints(workdir, read_only=True)
    saved = checkpoints.restore(first_state(read_run(workdir)))
    checkpoints.close()
    assert saved
    leaves, _ = jax.tree_util.tree_flatten_with_path(saved.state)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _rows(workdir: Path) -> list[dict[str, float]]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_training_records_what_it_measures(whole: Path) -> None:
    rows = _rows(whole)
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[-1]["validation_accuracy"] > 0.3
    assert list((whole / "tensorboard").glob("events.*"))
    result = json.loads((whole / "result.json").read_text())
    assert 0.3 < result["test"]["accuracy"] <= 1
    again = programs.answer(*_train(whole))
    assert again.status == 0
    assert "trained 12 epochs" in again.out
    assert "epoch 12/12" not in again.out


def test_killed_at_random_steps_and_interrupted_it_ends_bit_for_bit(
    tmp_path: Path, trained: Path
) -> None:
    rng, workdir = np.random.default_rng(0), tmp_path / "killed"
    epoch = float(np.median([row["seconds"] for row in _rows(trained)]))
    for kill in range(times(6, 3)):
        process = programs.start(*_train(workdir))
        for line in process.stdout:
            if line.startswith("epoch"):
                break
        # An epoch at most: half of them are left for the life that is interrupted.
        time.sleep(rng.uniform(0, epoch))
        process.send_signal(signal.SIGTERM if kill == 2 else signal.SIGKILL)
        status, rest, _ = process.end()
        if kill == 2:
            assert status == 130, rest
            assert "interrupted and saved; run the same command to go on" in rest
    assert programs.answer(*_train(workdir)).status == 0
    want, found = _last_state(trained), _last_state(workdir)
    assert want.keys() == found.keys()
    for name, array in want.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    rows = _rows(workdir)
    assert [row["epoch"] for row in rows] == list(range(1, 13))


MISTAKES = (
    (["--config.train.epochs=13"], 1, "train.epochs: 12 -> 13"),
    (["--config.data.resolution=16"], 1, "data.resolution: None -> 16"),
    (["--config.train.batch=5000"], 2, "want at most the 1149 training images"),
    (["--search=nowhere"], 2, "want --block=NSC or --search=DIR, one of them"),
    (["--config.train.epohcs=1"], 2, "train has no field 'epohcs'"),
)


def test_a_mistake_is_one_line(whole: Path) -> None:
    # One after the other: each takes the lock.
    for arguments, status, message in MISTAKES:
        result = programs.answer(*_train(whole, *arguments))
        assert result.status == status, result.err
        assert message in result.err
        assert result.err.startswith("error: ")
        assert result.err.count("\n") == 1, result.err
    assert json.loads((whole / "result.json").read_text())["epochs"] == 12


def test_another_block_or_a_missing_search_is_one_line(whole: Path) -> None:
    result = programs.answer(*_train(whole, block="1,1,1,0,0"))
    assert result.status == 1
    assert f"block: {TRAINED_BLOCK}" in result.err
    missing = "--workdir=x", "--search=nowhere"
    result = programs.answer("train", *missing, TRAINED_FLAGS[0])
    assert result.status == 1
    assert result.err.startswith("error: nowhere has no journal.sqlite")


def test_there_is_no_best_without_a_validation_part(whole: Path) -> None:
    assert load_model(whole, "best").images.num_classes == 10
    values = json.loads((whole / "run.json").read_text())
    values["config"]["data"]["validation"] = 0.0
    copy = whole.parent / "copy"
    copy.mkdir()
    (copy / "run.json").write_text(json.dumps(values))
    with pytest.raises(WorkdirError, match="no checkpoint is the best: want the last"):
        load_model(copy, "best")
    with pytest.raises(WorkdirError, match="there is no checkpoint yet"):
        load_model(copy)


def test_a_full_disk_leaves_the_last_checkpoint_intact(small_disk: Path) -> None:
    state = {"weights": np.arange(20_000.0)}  # 160 kB of the 400
    checkpoints = Checkpoints(small_disk / "run")
    checkpoints.save(1, Saved(state, [ROW]), None)
    checkpoints.wait()
    with pytest.raises(CheckpointError, match="the disk is full; earlier checkpoints"):
        for step in range(2, 9):
            larger = {"weights": np.random.default_rng(step).normal(size=60_000)}
            checkpoints.save(step, Saved(larger, []), None)
            checkpoints.wait()
    again = Checkpoints(small_disk / "run", read_only=True)
    saved = again.restore(state)
    assert saved
    np.testing.assert_array_equal(saved.state["weights"], state["weights"])
    assert saved.history == [ROW]


def test_a_full_disk_is_one_line_and_the_training_goes_on(small_disk: Path) -> None:
    command = _train(
        small_disk / "run",
        "--config.network.widths=(16,32)",
        "--config.train.epochs=4",
    )
    result = programs.answer(*command)
    assert result.status == 1, result.out
    assert "the disk is full; earlier checkpoints are intact" in result.err
    assert result.err.count("\n") == 1, result.err
    assert "epoch 1/4" in result.out
    assert load_model(small_disk / "run").images.num_classes == 10
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    result = programs.answer(*command)
    assert result.status == 0, result.err
    assert "epoch 1/4" not in result.out
    assert "trained 4 epochs" in result.out


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(5, Saved({"kernel": np.zeros((3, 4))}, []), 0.5)
    checkpoints.wait()
    with pytest.raises(CheckpointError, match=r"'kernel'\] is \(3, 4\), want \(3, 5\)"):
        checkpoints.restore({"kernel": np.zeros((3, 5))})
    checkpoints.close()


def test_the_last_and_the_best_checkpoint_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step, accuracy in enumerate([0.2, 0.9, 0.5, 0.4]):
        saved = Saved({"step": np.int32(step)}, [ROW])
        checkpoints.save(step, saved, accuracy)
    checkpoints.wait()
    like = {"step": np.int32(0)}
    for which, step in (("last", 3), ("best", 1)):
        found = checkpoints.restore(like, which)
        assert found and found.state["step"] == step
    checkpoints.close()
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"1", "3"}

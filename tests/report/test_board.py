"""Event files for TensorBoard: those of a search, and of a training in full."""

import importlib
import struct
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest

from bqnn.evaluation.records import Status
from bqnn.final.workdir import MetricsLog
from bqnn.report.board import Board
from bqnn.search import fold, journal
from bqnn.search.events import Evaluated
from bqnn.search.summary import Summary
from tests.helpers.searches import TableExecutor, problem_of, run_search, tiny_config


def _values(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    """Read the TFRecords of every event file: length, its check, data, its check."""
    proto: Any = importlib.import_module("tensorboardX.proto.event_pb2")
    found: dict[str, list[tuple[int, Any]]] = {}
    for path in sorted(folder.glob("events.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = proto.Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value))
    return found


def test_the_rows_of_a_training_outlive_its_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python warns of semaphores that a killed process leaves.
    made: list[tuple[str, ...]] = []
    monkeypatch.setattr(resource_tracker, "register", lambda *name: made.append(name))
    log = MetricsLog(tmp_path, [])
    log.add({"epoch": 1, "step": 17, "loss": 2.5})
    ((step, value),) = _values(tmp_path / "tensorboard")["loss"]
    assert (step, value.simple_value, made) == (17, 2.5, [])
    log.close()


def test_every_evaluation_and_new_best_block_is_written(tmp_path: Path) -> None:
    config = tiny_config(agent={"name": "random"})
    work, executor = problem_of(config), TableExecutor(faults={2: Status.FAILED})
    events = run_search(tmp_path / "search", config, executor)
    with Board(tmp_path / "board", Summary(work.iterations, 4)) as board:
        for event in events:
            board.show(event)
    values = _values(tmp_path / "board")
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    rewards = values["evaluation/reward"]
    assert [step for step, _ in rewards] == list(range(1, 25))
    for (_, value), event in zip(rewards, evaluated, strict=True):
        assert abs(value.simple_value - event.reward) < 1e-6
    assert len(values["evaluation/accuracy"]) == 23
    assert values["status/failed"][-1][1].simple_value == 1
    epsilons = [value.simple_value for _, value in values["agent/epsilon"]]
    assert set(epsilons) == {1.0} and len(epsilons) == work.iterations
    best = [value.simple_value for _, value in values["best/reward"]]
    assert best == sorted(best)
    pictures = values["best/block"]
    assert 1 <= len(pictures) < 24
    assert pictures[0][1].image.encoded_image_string.startswith(b"\x89PNG")


def test_a_search_read_from_its_journal_is_written_alike(tmp_path: Path) -> None:
    config = tiny_config(agent={"name": "random"})
    work = problem_of(config)
    events = run_search(tmp_path / "search", config, TableExecutor())
    with journal.open_readonly(tmp_path / "search") as facts:
        recorded = list(fold.fold(work, facts.history()))
    written = []
    for name, seen in (("live", events), ("recorded", recorded)):
        with Board(tmp_path / name, Summary(work.iterations, 4)) as board:
            for event in seen:
                board.show(event)
        written.append(_values(tmp_path / name).keys())
    assert written[0] == written[1]

"""The programs as a user runs them: real processes, real training, real kills."""

import json
import re
import shutil
import signal
import sqlite3
import threading
import time
from pathlib import Path
from typing import IO

import numpy as np
import psutil
import pytest

from bqnn.config.dictionary import to_dict
from bqnn.search import journal
from launch.__main__ import PROGRAMS
from tests.helpers import programs
from tests.helpers.searches import TINY, last_digest, replay, tiny_config
from tests.helpers.shared import SEARCH_FLAGS
from tests.helpers.thorough import times


def _search(workdir: Path, *arguments: str) -> tuple[str, ...]:
    return ("search", f"--workdir={workdir}", *SEARCH_FLAGS, *arguments)


def _evaluations(workdir: Path) -> dict[tuple[int, int, int], tuple[object, ...]]:
    path = (workdir / journal.FILE_NAME).absolute().as_uri()
    connection = sqlite3.connect(f"{path}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT * FROM evaluations").fetchall()
    except sqlite3.OperationalError:  # killed before the tables were made
        rows = []
    connection.close()
    return {tuple(row[:3]): tuple(row[3:]) for row in rows}


def _accuracies(workdir: Path) -> dict[tuple[int, int, int], object]:
    return {place: row[:2] for place, row in _evaluations(workdir).items()}


# Half a second of training for a candidate, so that a search can be met in the middle.
LONG = "--config.train.epochs=15"


def test_a_finished_search_says_so_and_shows_the_same_table(
    finished: Path, tmp_path: Path
) -> None:
    copy, before = _copy(finished, tmp_path), _evaluations(finished)
    result = programs.answer(*_search(copy))
    assert result.status == 0, result.err
    assert "was complete already" in result.out
    assert "The 5 best blocks" in result.out
    assert _evaluations(copy) == before


def _copy(finished: Path, folder: Path) -> Path:
    """Copy a work directory: a search locks its own."""
    return Path(shutil.copytree(finished, folder / "copy"))


def test_the_journal_holds_the_whole_configuration(finished: Path) -> None:
    with journal.open_readonly(finished) as facts:
        run = facts.run()
        attempts = facts.history().attempts
    want = to_dict(tiny_config())
    for section in TINY:
        for name in TINY[section]:
            assert to_dict(run.config)[section][name] == want[section][name]
    trained = [e for es in attempts.values() for e in es if e.status == "ok"]
    # Without --executor, in processes: one per core.
    assert all("NPROC=1" in e.device for e in trained)
    assert all(e.worker.startswith("worker ") for e in trained)
    phases = {"prepare", "compile", "train", "evaluate"}
    assert all(e.seconds.keys() == phases for e in trained)


def test_replay_names_the_iteration_whose_accuracy_was_changed(
    finished: Path, tmp_path: Path
) -> None:
    copy = _copy(finished, tmp_path)
    connection = sqlite3.connect(copy / journal.FILE_NAME)
    with connection:
        connection.execute(
            "UPDATE evaluations SET accuracy = '[0.5]' WHERE iteration = 2 AND slot = 0"
        )
    connection.close()
    result = programs.answer("replay", f"--workdir={copy}")
    assert result.status == 1
    assert result.err.startswith("error: iteration 2: the digest differs")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--config.data.nmae=x"], 2, "data has no field 'nmae', only name, data_dir"),
        (["--config.search.seed=x"], 2, "invalid literal"),
        (["--config.search.batch=0"], 2, "search.batch is 0: want a number from 1"),
        (["--config=none.py"], 2, "there is no such file: want one, or a config"),
        (["--executor=cluster"], 2, "should be one of"),
        (["--config.search.seed=9"], 1, "search.seed: 0 -> 9"),
        (["--config.data.name=npz:none.npz"], 1, "there is no such file"),
    ],
)
def test_a_mistake_is_one_line(
    finished: Path, tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    result = programs.answer(*_search(_copy(finished, tmp_path), *arguments))
    assert result.status == status
    assert message in result.err
    assert result.err.count("\n") == 1, result.err
    assert result.err.startswith("error: ")


def test_every_program_explains_itself() -> None:
    for name in PROGRAMS:
        result = programs.answer(name, "--help")
        assert (result.status, result.err) == (0, "")
        assert f"python -m launch.{name}" in result.out
        if name in ("search", "train", "compare", "oracle"):
            for flag in ("executor", "workers", "ray_address", "config", "list_config"):
                found = re.search(rf"^  --(\[no\])?{flag}: ", result.out, re.MULTILINE)
                assert found, result.out


def _wait_for(stream: IO[str], text: str) -> None:
    for line in stream:
        if text in line:
            return


def test_a_signal_finishes_cleanly_and_the_lock_holds_until_then(
    tmp_path: Path,
) -> None:
    command = _search(tmp_path, LONG, "--workers=1")
    for number in (signal.SIGINT, signal.SIGTERM):
        process = programs.start(*command)
        _wait_for(process.stdout, "reward")
        children = psutil.Process(process.pid).children(recursive=True)
        if number == signal.SIGINT:
            second = programs.answer(*command)
            assert second.status == 1
            assert f"pid {process.pid}" in second.err
        process.send_signal(number)
        status, rest, _ = process.end()
        assert status == 130
        assert "are recorded; run the same command to go on" in rest
        assert "Traceback" not in rest
        assert children and not psutil.wait_procs(children, timeout=10)[1]
    assert _evaluations(tmp_path)


def test_a_search_killed_at_random_moments_ends_as_if_it_never_was(
    tmp_path: Path,
) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    rng = np.random.default_rng(0)
    seen: dict[tuple[int, int, int], tuple[object, ...]] = {}
    # In one process, which starts soonest; `test_chaos` kills masters with workers.
    batches, epochs = times(2, 1), times(15, 8)
    schedule = f"--config.agent.schedule=1.0:{batches},0.5:{batches},0.1:{batches}"
    options = (f"--config.train.epochs={epochs}", schedule, "--executor=inline")
    command = _search(killed, *options)
    for kill in range(times(20, 4)):
        process = programs.start(*command)
        # Half of them at any moment of starting up, or soon after it.
        early = threading.Timer(60 if kill % 2 else rng.uniform(0, 1), process.kill)
        early.start()
        _wait_for(process.stdout, "reward")
        early.cancel()
        time.sleep(rng.uniform(0, 0.25))
        process.kill()
        process.end()
        if killed.exists() and (killed / journal.FILE_NAME).exists():
            found = _evaluations(killed)
            assert seen.items() <= found.items(), "a finished evaluation was lost"
            seen = found
    assert seen, "no evaluation was there before a kill"
    assert programs.answer(*command).status == 0
    found = _evaluations(killed)
    assert seen.items() <= found.items()
    assert all(attempt == 1 for _, _, attempt in found), "an evaluation was repeated"
    assert len(found) == 12 * batches
    assert programs.answer(*_search(whole, *options)).status == 0
    assert _accuracies(killed) == _accuracies(whole)
    assert last_digest(replay(killed)) == last_digest(replay(whole))


def test_searches_share_what_they_have_trained(tmp_path: Path) -> None:
    """In worker processes, and in the program itself."""
    small = ("--config.space.max_layers=1", "--config.agent.schedule=1.0:2")
    shared = (f"--evaluations={tmp_path / 'store'}", "--config.train.seed=3", *small)
    first, again, other = tmp_path / "first", tmp_path / "again", tmp_path / "other"
    assert programs.run("search", *_search(first, *shared)[1:]).status == 0
    inline = (*shared, "--executor=inline")
    assert programs.answer(*_search(again, *inline)).status == 0
    seed = "--config.search.seed=1"
    assert programs.answer(*_search(other, *inline, seed)).status == 0
    assert _accuracies(again).keys() == _accuracies(first).keys()
    assert last_digest(replay(again)) == last_digest(replay(first))
    with journal.open_readonly(again) as facts:
        found = [e for es in facts.history().attempts.values() for e in es]
    assert all(e.status == "reused" for e in found)
    assert all(e.source.startswith(f"{first}, batch ") for e in found)
    with journal.open_readonly(other) as facts:
        found = [e for es in facts.history().attempts.values() for e in es]
    assert any(e.source.startswith(f"{first}, batch ") for e in found)
    # The journal needs no store.
    shutil.rmtree(tmp_path / "store")
    assert last_digest(replay(other))
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "evaluations.sqlite").write_text("mine")
    refused = programs.answer(*_search(tmp_path / "new", *inline))
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert "is damaged or no store of evaluations" in refused.err


def test_a_search_learns_from_another_and_tries_blocks_first(
    finished: Path, tmp_path: Path
) -> None:
    blocks = tmp_path / "blocks.txt"
    blocks.write_text("1,1,5,0,0  # a wide one\nvgg\n")
    workdir, short = tmp_path / "new", "--config.agent.schedule=1.0:1,0.1:1"
    inline = ("--config.search.seed=1", "--executor=inline", short)
    given = (f"--learn_from={finished}", f"--try_first={blocks}")
    command = _search(workdir, *inline, *given)
    result = programs.answer(*command, "--max_candidates=3")
    assert result.status == 0, result.err
    assert f"begins with 24 results of {finished} and 2 given blocks" in result.out
    assert programs.answer(*command).status == 0
    assert last_digest(replay(workdir))
    with journal.open_readonly(workdir) as facts:
        first, *_ = facts.history().asks
    assert [str(c.block) for c in first.candidates[:2]] == [
        "1,1,5,0,0;2,7,0,0,0",
        "1,1,3,0,0;2,1,3,1,0;3,7,0,0,0",
    ]
    refused = programs.answer(*_search(workdir, *inline, given[0]))
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert "was given 2 blocks to try first, not these 0" in refused.err
    blocks.write_text("1,1,5,0,0\nresnett\n")
    refused = programs.answer(*command)
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert f"error: {blocks}, line 2: there is no known block 'resnett'" in refused.err


def test_the_papers_search_runs_on_images_as_of_cifar_100(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (600, 32, 32, 3), np.uint8)
    parts = {"images": images, "labels": np.arange(600) % 100}
    arrays = {
        f"{split}_{k}": v for split in ("train", "test") for k, v in parts.items()
    }
    np.savez(tmp_path / "data.npz", **arrays)  # type: ignore[arg-type]
    small = [
        "--config=launch/configs/cifar100_search.py",
        f"--config.data.name=npz:{tmp_path / 'data.npz'}",
        "--config.agent.schedule=1.0:1",
        "--config.search.batch=2",
        "--config.space.max_layers=1",
        "--config.network.repeats=1",
        "--config.network.widths=(4,)",
        "--config.train.epochs=1",
        "--executor=inline",
    ]
    result = programs.answer("search", f"--workdir={tmp_path / 'search'}", *small)
    assert result.status == 0, result.err
    assert "2 candidates" in result.out


def test_a_search_goes_on_to_train_its_best(finished: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "search"
    shutil.copytree(finished, workdir)
    training = [f"--workdir={workdir}", *SEARCH_FLAGS, "--workers=1", "--then_train"]
    process = programs.start("search", *training)
    _wait_for(process.stdout, "the search was complete already")
    # The training has this process's number, and what it says of an interrupt.
    began = tmp_path / "search_final" / "rank001" / "run.json"
    while not began.exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    status, rest, _ = process.end()
    assert status == 130
    assert "interrupted; run the same command to go on" in rest
    run = json.loads(began.read_text())
    assert run["config"]["data"]["name"] == "digits"

"""The programs as a user runs them: real processes, real training, real kills."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import numpy as np
import psutil
import pytest

from bqnn.config.dictionary import to_dict
from bqnn.search import journal
from bqnn.search.fold import fold
from launch.__main__ import PROGRAMS
from tests.helpers.paths import ROOT, SHARED
from tests.helpers.searches import TINY, last_digest, problem_of, tiny_config
from tests.helpers.thorough import times

TFDS = SHARED / "data" / "tfds"


def _overrides() -> list[str]:
    return [
        f"--config.{section}.{name}={value}"
        for section, fields in TINY.items()
        for name, value in fields.items()
    ]


def _command(program: str, workdir: Path, *arguments: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        f"launch.{program}",
        f"--workdir={workdir}",
        *arguments,
    ]


def _search(workdir: Path, *arguments: str) -> list[str]:
    config = "--config=quickstart"
    return _command("search", workdir, config, *arguments)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    # As from a user's shell: what the tests set for jax is not set.
    names = ("NPROC", "JAX_PLATFORMS")
    environment = {k: v for k, v in os.environ.items() if k not in names}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )


def _replayed_digest(workdir: Path) -> str:
    result = _run(_command("replay", workdir))
    assert result.returncode == 0, result.stderr
    match = re.search(r"last digest: ([0-9a-f]{64})", result.stdout)
    assert match, result.stdout
    return match[1]


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


# About a second of training for a candidate, so that a search can be met in the middle.
LONG = "--config.train.epochs=30"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work directory of a finished search."""
    workdir = tmp_path_factory.mktemp("finished")
    result = _run(_search(workdir, *_overrides()))
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "the search is complete: 6 iterations, 24 candidates" in result.stdout
    assert "The 5 best blocks" in result.stdout
    return workdir


def test_a_finished_search_says_so_and_shows_the_same_table(finished: Path) -> None:
    before = _evaluations(finished)
    start = time.monotonic()
    result = _run(_search(finished, *_overrides()))
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - start < 60
    assert "was complete already" in result.stdout
    assert "The 5 best blocks" in result.stdout
    assert _evaluations(finished) == before


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
    copy = tmp_path / journal.FILE_NAME
    copy.write_bytes((finished / journal.FILE_NAME).read_bytes())
    connection = sqlite3.connect(copy)
    with connection:
        connection.execute(
            "UPDATE evaluations SET accuracy = '[0.5]' WHERE iteration = 2 AND slot = 0"
        )
    connection.close()
    result = _run(_command("replay", tmp_path))
    assert result.returncode == 1
    assert result.stderr.startswith("error: iteration 2: the digest differs")
    assert result.stderr.count("\n") == 1


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
    finished: Path, arguments: list[str], status: int, message: str
) -> None:
    result = _run(_search(finished, *_overrides(), *arguments))
    assert result.returncode == status
    assert message in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("error: ")


def test_every_program_explains_itself() -> None:
    started = {
        name: _start([sys.executable, "-m", f"launch.{name}", "--help"])
        for name in PROGRAMS
    }
    for name, process in started.items():
        out, _ = process.communicate(timeout=100)
        assert process.returncode == 0, out
        assert f"python -m launch.{name}" in out
        if name in ("search", "train", "compare", "oracle"):
            for flag in ("executor", "workers", "ray_address", "config", "list_config"):
                assert re.search(rf"^  --(\[no\])?{flag}: ", out, re.MULTILINE), out


def _start(command: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _wait_for(stream: IO[str], text: str) -> None:
    for line in stream:
        if text in line:
            return


def test_a_signal_finishes_cleanly_and_the_lock_holds_until_then(
    tmp_path: Path,
) -> None:
    command = _search(tmp_path, *_overrides(), LONG)
    for number in (signal.SIGINT, signal.SIGTERM):
        process = _start(command)
        assert process.stdout
        _wait_for(process.stdout, "reward")
        children = psutil.Process(process.pid).children(recursive=True)
        if number == signal.SIGINT:
            second = _run(command)
            assert second.returncode == 1
            assert f"pid {process.pid}" in second.stderr
        process.send_signal(number)
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == 130
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
    options = (*_overrides(), "--config.train.epochs=15", "--executor=inline")
    command = _search(killed, *options)
    for kill in range(times(20, 4)):
        process = _start(command)
        assert process.stdout
        if kill % 2:
            # Somewhere in or after the first evaluation of this life.
            _wait_for(process.stdout, "reward")
            time.sleep(rng.uniform(0, 0.25))
        else:
            # Anywhere, starting up included.
            time.sleep(rng.uniform(0.5, 3.0))
        assert process.poll() is None, "it ended before it could be killed so often"
        process.kill()
        process.communicate()
        if killed.exists() and (killed / journal.FILE_NAME).exists():
            found = _evaluations(killed)
            assert seen.items() <= found.items(), "a finished evaluation was lost"
            seen = found
    assert _run(command).returncode == 0
    found = _evaluations(killed)
    assert seen.items() <= found.items()
    assert all(attempt == 1 for _, _, attempt in found), "an evaluation was repeated"
    assert len(found) == 24
    assert _run(_search(whole, *options)).returncode == 0
    assert _accuracies(killed) == _accuracies(whole)
    with journal.open_readonly(whole) as facts:
        told = fold(problem_of(facts.run().config), facts.history())
        assert _replayed_digest(killed) == last_digest(list(told))


@pytest.mark.skipif(not TFDS.is_dir(), reason="no prepared CIFAR-100 beside us")
def test_the_papers_search_runs_on_cifar_100(tmp_path: Path) -> None:
    config = "--config=launch/configs/cifar100_search.py"
    small = [
        f"--config.data.data_dir={TFDS}",
        "--config.agent.schedule=1.0:1",
        "--config.search.batch=2",
        "--config.space.max_layers=2",
        "--config.network.repeats=1",
        "--config.network.widths=(4,)",
        "--config.train.epochs=1",
        "--executor=inline",
    ]
    result = _run(_command("search", tmp_path, config, *small))
    assert result.returncode == 0, result.stderr
    assert "2 candidates" in result.stdout

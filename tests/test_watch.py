"""`launch.watch`: where a search stands, from its journal alone."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from bqnn import journal
from bqnn.history import Run
from bqnn.records import Status
from bqnn.report import watch
from bqnn.report.rows import Row, rows
from bqnn.search import Limits, search
from tests.searches import TableExecutor, problem_of, run_search, tiny_config

pytestmark = pytest.mark.usefixtures("quick_compilation")

ROOT = Path(__file__).parents[1]
CONFIG = tiny_config(agent={"name": "random"})


def _row(worker: str, finished: float, seconds: float, status: str = "ok") -> Row:
    return Row(
        *(0, 0, "1,1,3,0,0;2,7,0,0,0", 1, "h", status, 1, 0.5, 0.4, 10, 20, 0.75),
        *(seconds, worker, finished, ""),
    )


def test_the_rate_is_that_of_the_last_ten_minutes() -> None:
    # Begun at 90: three results in 30 seconds.
    young = [_row("a", 100, 10), _row("a", 110, 10), _row("a", 120, 10)]
    assert watch.rate(young, now=120) == pytest.approx(6)
    old = [_row("a", 100, 10), *(_row("a", 1000 + k, 1) for k in range(20))]
    assert watch.rate(old, now=1100) == pytest.approx(2)
    assert watch.rate([], now=5) == 0


def test_workers_by_hand() -> None:
    found = watch.workers(
        [
            _row("b", 30, 4),
            _row("a", 20, 1),
            _row("b", 10, 2),
            _row("", 40, 0, "reused"),
        ]
    )
    assert [(w.name, w.done, w.mean) for w in found] == [("a", 1, 1), ("b", 2, 3)]
    assert found[1].last.finished == 30


def _text(workdir: Path) -> str:
    work = problem_of(CONFIG)
    with journal.open_readonly(workdir) as facts:
        history, times = facts.history(), facts.times()
    summary = watch.summarize(work, history)
    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    seen = rows(work, history, times)
    console.print(watch.dashboard("here", summary, seen, 3, time.time()))
    console.file.close()
    return console.export_text()


def test_a_search_that_stopped_half_way(tmp_path: Path) -> None:
    work, run = problem_of(CONFIG), Run(CONFIG, problem_of(CONFIG).images, "none", {})
    executor = TableExecutor(faults={1: Status.FAILED})
    with journal.create_or_open(tmp_path) as facts:
        facts.start(run)
        list(search(work, facts, executor, Limits(candidates=9)))
        # Another process reads while the writer has it open.
        text = _text(tmp_path)
    assert "iteration 2/6, epsilon 1, 3 in training or waiting" in text
    assert "candidates/min" in text and "last result" in text
    assert "failed on purpose" in text


def _watch(workdir: Path, **options: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "launch.watch", f"--workdir={workdir}"]
    return subprocess.Popen(command, cwd=ROOT, **options)  # type: ignore[call-overload]


def test_watching_ends_with_the_search_or_with_ctrl_c(tmp_path: Path) -> None:
    run_search(tmp_path / "done", CONFIG, TableExecutor())
    journal.create_or_open(tmp_path / "begun").__exit__()
    done = _watch(tmp_path / "done", stdout=subprocess.PIPE)
    terminal, inside = pty.openpty()
    running = _watch(tmp_path / "begun", stdout=inside, stderr=inside)
    out, _ = done.communicate(timeout=60)
    assert done.returncode == 0
    assert b"iteration 6/6: complete, digest" in out
    seen = b""
    while b"has not begun" not in seen:
        seen += os.read(terminal, 1000)
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=30) == 0
    os.close(terminal)
    os.close(inside)

"""`launch.watch`: where a search stands, from its journal alone."""

import fcntl
import io
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.executors import activity
from bqnn.executors.activity import Activity
from bqnn.executors.observed import ObservedExecutor
from bqnn.report import watch
from bqnn.report.record import summarize
from bqnn.report.rows import EvaluationRow, rows
from bqnn.report.watch import View
from bqnn.search import journal
from bqnn.search.events import Evaluated, Event
from bqnn.search.history import Run
from bqnn.search.master import Limits, search
from bqnn.search.summary import Summary, update
from bqnn.space import nsc
from tests.helpers.paths import ROOT
from tests.helpers.searches import TableExecutor, problem_of, run_search, tiny_config

pytestmark = pytest.mark.quick_compilation

CONFIG = tiny_config(agent={"name": "random"})


def _row(
    worker: str, finished: float, seconds: float, status: str = "ok"
) -> EvaluationRow:
    return EvaluationRow(
        *(0, 0, "1,1,3,0,0;2,7,0,0,0", 1, "h", status, 1, 1, 1, 0.5, 0.4, 10, 15, 20),
        *(1, 0.75, None, seconds, worker, finished, "", ""),
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
            _row("worker 10", 40, 5),
        ],
        [Activity("worker 9", True, "1,1,3,0,0", 50.0), Activity("b", True, "", 31.0)],
    )
    assert [(w.name, w.done, w.mean) for w in found] == [
        ("a", 1, 1),
        ("b", 2, 3),
        ("worker 9", 0, None),
        ("worker 10", 1, 5),
    ]
    assert found[1].last and found[1].last.finished == 30
    assert [w.now and w.now.block for w in found] == [None, "", "1,1,3,0,0", None]


def _print(view: View, now: float) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(watch.dashboard(view, now))
    return console.export_text()


def test_a_thousand_workers_are_counted_and_the_slowest_listed() -> None:
    activities = [
        Activity(f"worker {n}", n > 3, "1,1,3,0,0" if n > 9 else "", 1000.0 - n)
        for n in range(1000)
    ]
    summary = Summary(10, 64)
    text = _print(View("here", summary, [], 1020, True, activities), now=1090.0)
    assert "990 in training, 30 waiting" in text
    assert "Workers: 990 training, 6 idle, 4 starting" in text
    assert re.findall(r"worker (\d+)", text) == [str(n) for n in range(984, 1000)]
    assert "training for 18:09" in text


def _text(workdir: Path, running: bool) -> str:
    work = problem_of(CONFIG)
    with journal.open_readonly(workdir) as facts:
        history, times = facts.history(), facts.times()
    summary = summarize(work, history)
    seen = rows(work, history, times)
    return _print(View("here", summary, seen, 3, running), time.time())


def test_a_search_that_stopped_half_way(tmp_path: Path) -> None:
    work, run = problem_of(CONFIG), Run(CONFIG, problem_of(CONFIG).images, "none", {})
    executor = TableExecutor(faults={1: Status.FAILED})
    with journal.create_or_open(tmp_path) as facts:
        facts.start(run)
        list(search(work, facts, executor, Limits(candidates=9)))
        # Another process reads while the writer has it open.
        text = _text(tmp_path, journal.has_writer(tmp_path))
    assert "iteration 2/6, epsilon 1, 0 in training, 3 waiting" in text
    assert "candidates/min" in text and "last result" in text
    assert "failed on purpose" in text
    text = _text(tmp_path, journal.has_writer(tmp_path))
    assert "not running, 3 to be trained again" in text
    assert "the same launch.search goes on" in text


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


def test_a_running_search_is_seen_from_outside(tmp_path: Path) -> None:
    seen: list[str] = []

    def look(event: Event) -> None:
        if isinstance(event, Evaluated) and not seen:
            out = _watch(tmp_path, stdout=subprocess.PIPE).communicate(timeout=60)[0]
            seen.append(out.decode())

    executor = ObservedExecutor(TableExecutor(capacity=3), tmp_path)
    run_search(tmp_path, CONFIG, executor, on_event=look)
    assert "iteration 0/6, epsilon 1, 3 in training, 4 waiting" in seen[0]
    assert re.search(r"worker 2 +│ +training for", seen[0])
    # Workers that were stopped do nothing.
    assert activity.read(tmp_path) == []
    assert not journal.has_writer(tmp_path)


def test_a_master_that_may_not_start_leaves_the_news_of_the_one_that_runs(
    tmp_path: Path,
) -> None:
    running = ObservedExecutor(TableExecutor(), tmp_path)
    with pytest.raises(LookupError):
        running.collect()
    ObservedExecutor(TableExecutor(), tmp_path).close()
    assert (tmp_path / activity.FILE_NAME).exists()
    running.close()
    assert not (tmp_path / activity.FILE_NAME).exists()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[[1, 2]]", '[["a"]]', "[3]", '[["a", true, "b", "x"]]'),
        *('[["a", true, "", 1e999]]', '[["a", true, "", NaN]]', '[["a", 1, "", 1]]'),
        *('[["a", true, "no NSC", 1]]', '[[["a"], true, "", 1]]', "[" * 99_999),
        f'[["{"a" * 9999}", true, "", 1]]',
    ],
)
def test_news_that_make_no_sense_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / activity.FILE_NAME).write_text(text)
    assert activity.read(tmp_path) == []


def test_a_pipe_for_news_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / activity.FILE_NAME)
    assert activity.read(tmp_path) == []


def test_names_and_causes_cannot_write_on_the_terminal() -> None:
    name = "w[red]:smile:\x1b]0;mine\x07"
    row = _row(name, 30, 4, "failed")
    evaluation = Evaluation(Status.FAILED, error="no \x1b[2J[red] luck\nmore")
    candidate = Candidate(0, 0, nsc.parse("1,1,3,0,0"), "0", 0, 1, 2, 3, 1, 1)
    summary = update(Summary(1, 1), Evaluated(candidate, evaluation, 0.1, True))
    view = View("here\x1b[red]", summary, [row], 0, True, [])
    text = _print(view, 40)
    for shown in (
        r"here\x1b[red]",
        r"w[red]:smile:\x1b]0;mine\x07",
        r"no \x1b[2J[red] l",
    ):
        assert shown in text
    assert "\x1b" not in text and "\x07" not in text


def test_looking_for_a_writer_keeps_none_from_starting(tmp_path: Path) -> None:
    journal.create_or_open(tmp_path).__exit__()
    with (tmp_path / "journal.lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        timer = threading.Timer(0.02, file.close)
        timer.start()
        with journal.create_or_open(tmp_path):
            assert journal.has_writer(tmp_path)
        timer.join()

"""Kills, hangs and full disks: nothing is lost, no digest is wrong, nobody stays."""

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from bqnn.errors import JournalError
from bqnn.evaluation.records import Status
from bqnn.search import journal
from bqnn.search.fold import fold
from bqnn.search.history import History
from bqnn.search.settled import settled_evaluations
from tests.helpers import disturbed
from tests.helpers.paths import ROOT
from tests.helpers.searches import last_digest, problem_of
from tests.helpers.thorough import times

FAULTS = ("hang", "raise", "allocate", "diverge")


def _workers(master: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """List the worker processes of a master that are alive."""
    found = []
    for child in psutil.Process(master.pid).children():
        with contextlib.suppress(psutil.Error):  # one that has just died
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def _attempts(workdir: Path) -> int:
    if not (workdir / journal.FILE_NAME).exists():
        return 0
    try:
        with journal.open_readonly(workdir) as facts:
            return sum(map(len, facts.history().attempts.values()))
    except JournalError:  # its master has not made the tables yet
        return 0


def _wait_until_recorded(
    master: "subprocess.Popen[bytes]", workdir: Path, attempts: int
) -> None:
    while _attempts(workdir) < attempts:
        assert master.poll() is None, "it ended before it could be disturbed"
        time.sleep(0.1)


def _wait_until_gone(processes: list[psutil.Process], seconds: float) -> None:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    assert not alive, "a worker outlived its master"


def _search_under_fire(
    command: list[str], workdir: Path, lives: int, kills: int
) -> str:
    """Kill workers and, at the end of each life, the master; return the last digest."""
    rng = np.random.default_rng(0)
    for _ in range(lives):
        master, recorded = subprocess.Popen(command, cwd=ROOT), _attempts(workdir) + 1
        for _ in range(kills):
            _wait_until_recorded(master, workdir, recorded)
            time.sleep(rng.uniform(0, disturbed.SECONDS))
            while not (victims := _workers(master)):
                assert master.poll() is None, "it ended before it could be disturbed"
                time.sleep(0.1)
            victims[rng.integers(len(victims))].kill()
            recorded = _attempts(workdir) + int(rng.integers(2))
        _wait_until_recorded(master, workdir, recorded)
        orphans = _workers(master)
        master.kill()
        master.wait()
        _wait_until_gone(orphans, 10)
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()[-1]


def _replayed(workdir: Path) -> tuple[History, str]:
    with journal.open_readonly(workdir) as facts:
        run, history = facts.run(), facts.history()
    return history, last_digest(list(fold(problem_of(run.config), history)))


def test_in_arrival_order_a_journal_replays_whatever_was_killed(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.helpers.disturbed",
        str(tmp_path),
        "arrival",
        "{}",
    ]
    digest = _search_under_fire(command, tmp_path, lives=times(2, 1), kills=1)
    history, replayed = _replayed(tmp_path)
    assert replayed == digest
    assert len(settled_evaluations(history)) == 32


def test_a_search_under_fire_ends_as_one_in_peace(tmp_path: Path) -> None:
    faults = dict(zip(disturbed.first_hashes(), FAULTS, strict=False))
    assert len(faults) == len(FAULTS)
    peace = last_digest(disturbed.run(tmp_path / "peace", "slot", faults))
    war = tmp_path / "war"
    command = [sys.executable, "-m", "tests.helpers.disturbed", str(war), "slot"]
    digest = _search_under_fire(
        [*command, json.dumps(faults)], war, lives=times(5, 1), kills=2
    )
    history, replayed = _replayed(war)
    assert replayed == digest == peace
    finals = settled_evaluations(history)
    found = {
        faults[c.hash]: finals[c.id].status
        for c in history.asks[0].candidates
        if c.hash in faults and finals[c.id].status != Status.REUSED
    }
    assert found == {
        "hang": Status.TIMED_OUT,
        "raise": Status.FAILED,
        "allocate": Status.OUT_OF_MEMORY,
        "diverge": Status.DIVERGED,
    }
    attempts = [e.status for es in history.attempts.values() for e in es]
    assert Status.WORKER_LOST in attempts
    assert not any(e.status == Status.WORKER_LOST for e in finals.values())

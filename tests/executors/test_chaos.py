"""Kills, hangs and full disks: nothing is lost, no digest is wrong, nobody stays."""

import contextlib
import functools
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import psutil
import pytest

from bqnn.errors import JournalError
from bqnn.evaluation.records import Status
from bqnn.search import journal
from bqnn.search.fold import fold
from bqnn.search.history import History
from bqnn.search.settled import settled_evaluations
from tests.helpers import disturbed
from tests.helpers.programs import Fork
from tests.helpers.searches import last_digest, problem_of
from tests.helpers.thorough import times

FAULTS = {
    "raise": Status.FAILED,
    "diverge": Status.DIVERGED,
    "hang": Status.TIMED_OUT,
    "allocate": Status.OUT_OF_MEMORY,
}
# The last two cost a worker each time: `test_executors` has them once.
CHOSEN = [*FAULTS][: times(4, 2)]


def _workers(master: Fork) -> list[psutil.Process]:
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


def _wait_until_recorded(master: Fork, workdir: Path, attempts: int) -> None:
    while _attempts(workdir) < attempts:
        assert master.poll() is None, "it ended before it could be disturbed"
        time.sleep(0.1)


def _wait_until_gone(processes: list[psutil.Process], seconds: float) -> None:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    assert not alive, "a worker outlived its master"


def _search(workdir: Path, order: str, faults: Mapping[str, str]) -> Fork:
    return Fork("tests.helpers.disturbed", str(workdir), order, json.dumps(faults))


def _end(master: Fork) -> str:
    """Wait for the end of a search; returns its last digest."""
    status, out, _ = master.end()
    assert status == 0, out
    return out.split()[-1]


def _search_under_fire(
    start: Callable[[], Fork], workdir: Path, lives: int, kills: int
) -> str:
    """Kill workers and, at the end of each life, the master; return the last digest."""
    rng = np.random.default_rng(0)
    for _ in range(lives):
        master, recorded = start(), _attempts(workdir) + 1
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
        master.end()
        _wait_until_gone(orphans, 10)
    return _end(start())


def _replayed(workdir: Path) -> tuple[History, str]:
    with journal.open_readonly(workdir) as facts:
        run, history = facts.run(), facts.history()
    return history, last_digest(list(fold(problem_of(run.config), history)))


@pytest.mark.skipif(
    not times(1, 0),
    reason="for a release: tests/search/test_limits stops such searches",
)
def test_in_arrival_order_a_journal_replays_whatever_was_killed(tmp_path: Path) -> None:
    start = functools.partial(_search, tmp_path, "arrival", {})
    digest = _search_under_fire(start, tmp_path, lives=2, kills=1)
    history, replayed = _replayed(tmp_path)
    assert replayed == digest
    assert len(settled_evaluations(history)) == 32


def test_a_search_under_fire_ends_as_one_in_peace(tmp_path: Path) -> None:
    faults = dict(zip(disturbed.first_hashes(), CHOSEN, strict=False))
    assert len(faults) == len(CHOSEN)
    peace = _end(_search(tmp_path / "peace", "slot", faults))
    war = tmp_path / "war"
    start = functools.partial(_search, war, "slot", faults)
    digest = _search_under_fire(start, war, lives=times(5, 1), kills=2)
    history, replayed = _replayed(war)
    assert replayed == digest == peace
    finals = settled_evaluations(history)
    found = {
        faults[c.hash]: finals[c.id].status
        for c in history.asks[0].candidates
        if c.hash in faults and finals[c.id].status != Status.REUSED
    }
    assert found == {name: FAULTS[name] for name in CHOSEN}
    attempts = [e.status for es in history.attempts.values() for e in es]
    assert Status.WORKER_LOST in attempts
    assert not any(e.status == Status.WORKER_LOST for e in finals.values())

"""Two machines with a Ray node each lose one of them, their cable, or the head.

Minutes each, and they need root: a part of `make thorough`, or

BQNN_THOROUGH=1 .venv/bin/python -m pytest -n 0 tests/executors/test_cluster_faults.py
"""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bqnn.errors import JournalError
from bqnn.search import journal
from tests.helpers.machines import PORT, Machines, address, kill, machines

pytestmark = pytest.mark.skipif(
    not os.environ.get("BQNN_THOROUGH") or os.geteuid() != 0,
    reason="for a release, by root",
)

# Of a candidate, most of it rest.
SECONDS = 4.0


@pytest.fixture
def two() -> Iterator[Machines]:
    """Two machines."""
    pytest.importorskip("ray")
    with machines() as made:
        yield made


@pytest.fixture(scope="module")
def digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The last digest of the search in one process."""
    workdir = tmp_path_factory.mktemp("inline")
    subprocess.run(_command(workdir, 0), check=True, capture_output=True)
    return _digest(workdir)


def _command(workdir: Path, seconds: float, *more: str) -> list[str]:
    program = [sys.executable, "-m", "tests.helpers.cluster_search"]
    return [*program, str(workdir), str(seconds), *more]


def _search(on: Machines, workdir: Path) -> tuple["subprocess.Popen[str]", ...]:
    """Start both nodes and a search; returns it, and the nodes."""
    nodes = on.start_node(0), on.start_node(1)
    return on.start(0, _command(workdir, SECONDS, f"{address(0)}:{PORT}")), *nodes


def _statuses(workdir: Path) -> list[str]:
    try:
        with journal.open_readonly(workdir) as facts:
            attempts = facts.history().attempts.values()
            return [e.status.value for some in attempts for e in some]
    except JournalError:  # it is just being made
        return []


def _digest(workdir: Path) -> str:
    with journal.open_readonly(workdir) as facts:
        return facts.history().tells[-1].digest


def _wait_for_results(search: "subprocess.Popen[str]", workdir: Path) -> None:
    """Wait until candidates of both machines are recorded, and others in training."""
    while len(_statuses(workdir)) < 4:
        assert search.poll() is None, search.communicate()
        time.sleep(0.2)


def _complete(search: "subprocess.Popen[str]") -> None:
    _, err = search.communicate(timeout=600)
    assert (search.returncode, err) == (0, "")


def test_a_node_that_is_killed_costs_its_candidate(
    two: Machines, digest: str, tmp_path: Path
) -> None:
    search, _, node = _search(two, tmp_path)
    _wait_for_results(search, tmp_path)
    family = psutil.Process(node.pid).children(recursive=True)
    (raylet,) = (p for p in family if p.name() == "raylet")
    raylet.kill()
    _complete(search)
    assert "worker_lost" in _statuses(tmp_path)
    assert _digest(tmp_path) == digest


def test_a_cable_may_be_cut_until_the_node_is_given_up(
    two: Machines, digest: str, tmp_path: Path
) -> None:
    search, _, node = _search(two, tmp_path)
    _wait_for_results(search, tmp_path)
    two.plug(False)
    while "worker_lost" not in _statuses(tmp_path):  # after a minute
        assert search.poll() is None, search.communicate()
        time.sleep(0.5)
    two.plug(True)
    # It learns that it was given up, and ends.
    node.wait(120)
    two.start_node(1)
    _complete(search)
    assert _digest(tmp_path) == digest


def test_a_head_that_is_killed_ends_the_search_and_the_same_command_goes_on(
    two: Machines, digest: str, tmp_path: Path
) -> None:
    search, *nodes = _search(two, tmp_path)
    _wait_for_results(search, tmp_path)
    kill(nodes[0])
    _, err = search.communicate(timeout=120)
    assert search.returncode == 1
    assert err.startswith("error: lost the head of the Ray cluster at ")
    assert err.count("\n") == 1
    before = _statuses(tmp_path)
    kill(nodes[1])
    _complete(_search(two, tmp_path)[0])
    assert len(_statuses(tmp_path)) > len(before)
    assert _digest(tmp_path) == digest


def test_a_master_goes_on_on_another_machine_that_sees_its_directory_elsewhere(
    digest: str, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    first = subprocess.Popen(
        _command(here / "search", 0.5), stdout=subprocess.PIPE, text=True
    )
    while len(_statuses(here / "search")) < 4:
        assert first.poll() is None
        time.sleep(0.1)
    first.kill()
    first.communicate()
    moved = f"hostname other && mount --bind {here} {there} && exec "
    again = moved + shlex.join(_command(there / "search", 0))
    own = ["unshare", "--mount", "--uts", "bash", "-c", again]
    subprocess.run(own, check=True, capture_output=True)
    assert (here / "search" / "journal.lock").read_text().startswith("host other, ")
    assert _digest(here / "search") == digest

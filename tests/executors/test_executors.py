"""Every executor gives the same search; faults stay with their candidate."""

import functools
import ipaddress
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bqnn import runtime
from bqnn.config import Config
from bqnn.errors import ConfigError, DataError, SearchError
from bqnn.evaluation.records import Status
from bqnn.executors import process_lane
from bqnn.executors.executor import Executor, Options
from bqnn.executors.registry import EXECUTORS
from bqnn.layer_types import PAPER_TYPES
from bqnn.search import digests as digests_lib
from bqnn.search import journal
from bqnn.search.events import Evaluated, Event, Retried
from bqnn.search.history import History
from tests.helpers import own_layer
from tests.helpers.faults import (
    ahead,
    awaiting,
    dying_at_start,
    faulty,
    victims_of,
)
from tests.helpers.searches import (
    digests_of,
    last_digest,
    outcomes,
    run_search,
    tiny_config,
)

# Ray starts its own processes by fork and exec.
ray_forks = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")


def _make(name: str, config: Config, **options: Any) -> Executor:
    options = {"cache_dir": runtime.default_cache_dir(), **options}
    return EXECUTORS[name](config, Options(**options))


@functools.cache
def _config(lag: int) -> Config:
    """A search; that of lag 1 has a layer of the user's own."""
    return tiny_config(
        space={"max_layers": 3, "types": (*PAPER_TYPES, *["mix"][:lag])},
        search={"lag": lag},
        agent={"schedule": "1.0:1,0.2:3"},
        budget={"timeout": 60},
    )


own_layers = pytest.fixture(scope="module", autouse=True)(own_layer.registered)


@pytest.fixture(scope="module", autouse=True)
def hashes_changes() -> Iterator[None]:
    """Hash the changes of a batch instead of the state, small as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests_lib, "BYTES_PER_CANDIDATE", 1)
        yield


@pytest.fixture(scope="module")
def digests(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[str]]:
    """The digests of a search in one process, by lag."""
    found = {}
    for lag in (0, 1):
        workdir = tmp_path_factory.mktemp("inline")
        events = run_search(workdir, _config(lag), _make("inline", _config(lag)))
        found[lag] = digests_of(events)
    assert found[0][-1] != found[1][-1]
    asked = [c.block for ask in _history(workdir).asks for c in ask.candidates]
    assert any(layer.type == 21 for block in asked for layer in block.layers)
    # The whole state, twice its changes, the whole state.
    assert [":" in digest for digest in found[0]] == [False, True, True, False]
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray cluster of two nodes on this machine, beside the head."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    cluster.add_node(num_cpus=1)
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


@pytest.mark.parametrize(("workers", "lag"), [(1, 0), (2, 1), (3, 0)])
def test_processes_give_the_same_search(
    tmp_path: Path, digests: dict[int, list[str]], workers: int, lag: int
) -> None:
    executor = _make("process", _config(lag), workers=workers)
    events = run_search(tmp_path, _config(lag), executor, workers)
    assert digests_of(events) == digests[lag]
    seen = {e.worker for es in _history(tmp_path).attempts.values() for e in es}
    assert seen - {""} <= {f"worker {n}" for n in range(workers)}
    assert len(seen - {""}) == workers


@pytest.mark.parametrize("threads", [1, 4])
def test_preparing_candidates_ahead_changes_no_result(
    tmp_path: Path, digests: dict[int, list[str]], threads: int
) -> None:
    executor = _make("process", _config(1), workers=1, make_worker=ahead(threads))
    events = run_search(tmp_path, _config(1), executor)
    assert digests_of(events) == digests[1]
    attempts = [e for es in _history(tmp_path).attempts.values() for e in es]
    assert any(e.seconds.get("hidden", 0) > 0 for e in attempts)


@ray_forks
def test_a_cluster_gives_the_same_search(
    tmp_path: Path, digests: dict[int, list[str]], cluster: Any
) -> None:
    for lag in (0, 1):
        executor = _make("ray", _config(lag), address=cluster.address)
        events = run_search(tmp_path / str(lag), _config(lag), executor, workers=2)
        assert digests_of(events) == digests[lag]


@ray_forks
def test_a_node_may_leave_a_cluster_and_another_join(
    tmp_path: Path, cluster: Any
) -> None:
    config = tiny_config(agent={"schedule": "1.0:1,0.2:3"})
    whole = run_search(tmp_path / "whole", config, _make("inline", config))
    evaluated, marks = 0, tmp_path / "marks"
    marks.mkdir()

    def change(event: Event) -> None:
        nonlocal evaluated
        evaluated += isinstance(event, Evaluated)
        if isinstance(event, Evaluated) and evaluated == 2:
            cluster.remove_node(cluster.worker_nodes.copy().pop())
            (marks / "wait").touch()
            cluster.add_node(num_cpus=1)

    # So slow that the node leaves in the middle of a candidate. Who goes on waits for
    # the new node's worker.
    workers = awaiting(marks, 3, seconds=1.8)
    executor = _make("ray", config, address=cluster.address, make_worker=workers)
    events = run_search(tmp_path / "changed", config, executor, 2, change)
    assert last_digest(events) == last_digest(whole)
    assert outcomes(events)["worker_lost", False] >= 1
    attempts = _history(tmp_path / "changed").attempts.values()
    assert any(e.worker.startswith("actor 3 ") for es in attempts for e in es)


def _history(workdir: Path) -> History:
    with journal.open_readonly(workdir) as facts:
        return facts.history()


def test_each_fault_has_its_status_and_no_other_candidate_suffers(
    tmp_path: Path,
) -> None:
    config = tiny_config(agent={"schedule": "1.0:4"}, budget={"timeout": 6})
    whole = run_search(tmp_path / "whole", config, _make("inline", config))
    trained = [
        c
        for ask in _history(tmp_path / "whole").asks
        for c in ask.candidates
        if _history(tmp_path / "whole").attempts[c.id][0].status == Status.OK
    ]
    names = ["raise", "hang", "allocate", "diverge", "die"]
    faults = dict(zip((c.hash for c in trained[1:]), names, strict=False))
    executor = _make(
        "process", config, workers=2, memory=2 * 10**9, make_worker=faulty(faults)
    )
    events = run_search(tmp_path / "faulty", config, executor)
    history = _history(tmp_path / "faulty")
    found = {
        faults[c.hash]: [e.status.value for e in history.attempts[c.id]]
        for c in trained[1:6]
    }
    assert found == {
        "raise": ["failed"],
        "hang": ["timed_out"],
        "allocate": ["out_of_memory", "out_of_memory"],
        "diverge": ["diverged"],
        "die": ["worker_lost"] * 3 + ["failed"],
    }
    errors = [history.attempts[c.id][-1].error for c in trained[1:6]]
    assert errors[0].startswith("ValueError: broken on purpose\n")
    assert "budget.timeout of 6 s" in errors[1]
    assert "MemoryError" in errors[2]
    assert "lost 4 workers: " in errors[4] and "SIGABRT" in errors[4]
    untouched = {c.id: c for c in trained if c.hash not in faults}
    before = _history(tmp_path / "whole").attempts
    for place in untouched:
        (evaluation,) = history.attempts[place]
        assert evaluation.accuracy == before[place][0].accuracy
    assert outcomes(events)["worker_lost", False] == 3
    assert len(whole) + 4 == len(events)


@pytest.mark.parametrize(
    ("number", "times"), [(signal.SIGKILL, 2), (signal.SIGSTOP, 1)]
)
def test_whoever_is_killed_or_stopped_while_starting_is_replaced(
    tmp_path: Path,
    digests: dict[int, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    times: int,
) -> None:
    monkeypatch.setattr(process_lane, "_LONGEST_STOP", 0.3)
    (marks := tmp_path / "marks").mkdir()
    dying = dying_at_start(marks, times, number)
    executor = _make("process", _config(1), workers=2, make_worker=dying)
    events = run_search(tmp_path, _config(1), executor)
    assert len(list(marks.iterdir())) == times
    assert digests_of(events) == digests[1]
    assert not any(isinstance(event, Retried) for event in events)


@pytest.mark.parametrize(
    ("number", "most", "line"),
    [
        (signal.SIGABRT, "_MAX_FAILED", "does not start, 2 times in a row.*SIGABRT"),
        (signal.SIGKILL, "_MAX_KILLED", "was killed 2 times in a row.*fewer --workers"),
    ],
)
def test_a_worker_that_never_starts_ends_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, most: str, line: str
) -> None:
    monkeypatch.setattr(process_lane, most, 2)
    (marks := tmp_path / "marks").mkdir()
    dying = dying_at_start(marks, 1000, number)
    executor = _make("process", _config(1), workers=1, make_worker=dying)
    with pytest.raises(SearchError, match=line):
        run_search(tmp_path, _config(1), executor)


def test_programs_that_crash_workers_are_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Few programs: the workers compile them all again.
    config = tiny_config(
        space={"max_layers": 1}, agent={"schedule": "1.0:1,0.2:2"}, search={"lag": 1}
    )
    whole = run_search(tmp_path / "whole", config, _make("inline", config))
    cache_dir = runtime.default_cache_dir()
    executor = _make("process", config, workers=2, make_worker=victims_of(cache_dir))
    events = run_search(tmp_path / "crashed", config, executor, workers=2)
    assert last_digest(events) == last_digest(whole)
    retried = [event for event in events if isinstance(event, Retried)]
    assert 1 <= len(retried) <= 2
    assert all("SIGSEGV" in event.evaluation.error for event in retried)
    (record,) = caplog.records
    assert f"program in {cache_dir} may be damaged" in record.getMessage()


def test_an_error_of_the_user_comes_through_from_a_worker(tmp_path: Path) -> None:
    config = tiny_config(data={"name": f"npz:{tmp_path}/none.npz", "validation": 0.2})
    executor = _make("process", config, workers=1)
    digits = tiny_config()
    from bqnn.data import load

    try:
        with pytest.raises(DataError, match="none.npz"):
            for _ in executor.start(load(digits.data)):
                pass
    finally:
        executor.close()


LISTENING = """
import ipaddress, psutil
from bqnn.executors.executor import Options
from bqnn.executors.ray import RayExecutor
from tests.helpers.searches import tiny_config
executor = RayExecutor(tiny_config(), Options())
next(iter(executor.start(None)))
family = [psutil.Process(), *psutil.Process().children(recursive=True)]
found = {c.laddr.ip for p in family for c in p.net_connections("tcp")
         if c.status == psutil.CONN_LISTEN}
executor.close()
print(*found)
"""


def test_ray_on_this_machine_alone_listens_to_nobody_else() -> None:
    pytest.importorskip("ray")
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LISTENING],
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"},
    )
    assert result.returncode == 0, result.stderr
    addresses = [ipaddress.ip_address(text) for text in result.stdout.split()]
    assert addresses
    for address in addresses:
        assert (getattr(address, "ipv4_mapped", None) or address).is_loopback


def test_without_ray_the_message_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="pip install ray"):
        _make("ray", tiny_config())

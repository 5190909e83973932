"""Searches that stop early, in both orders, and journals that were cut short."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bqnn.errors import JournalError
from bqnn.evaluation.records import Status
from bqnn.search import journal
from bqnn.search.events import Asked, Evaluated
from bqnn.search.history import Run
from bqnn.search.master import Limits, search
from tests.helpers.searches import (
    SPEC,
    TableExecutor,
    digests_of,
    problem_of,
    replay,
    search_table,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation


def test_a_limit_of_candidates_stops_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    config = tiny_config()
    whole = digests_of(search_table(tmp_path / "whole", config))
    trained = 0
    for limit in (3, 4, 9, 99):
        executor = TableExecutor(capacity=2)
        events = search_table(
            tmp_path / "some", config, executor, Limits(candidates=limit)
        )
        trained += len(executor.attempts)
        assert trained <= limit
        if limit < 10:
            assert trained == limit
    assert digests_of(events) == whole


def test_when_time_is_over_what_runs_is_finished_and_no_more_begun(
    tmp_path: Path,
) -> None:
    config, executor = tiny_config(), TableExecutor(capacity=3)
    limits = Limits(out_of_time=lambda: len(executor.attempts) >= 2)
    search_table(tmp_path, config, executor, limits)
    # Two were finished, and with them two more begun.
    assert len(executor.attempts) == 4
    assert digests_of(search_table(tmp_path, config)) == digests_of(
        search_table(tmp_path / "2", config)
    )


def test_the_largest_candidate_starts_first(tmp_path: Path) -> None:
    executor = TableExecutor(capacity=1)
    search_table(tmp_path, tiny_config(search={"lag": 0, "batch": 8}), executor)
    first = [c.network_flops for c in executor.attempts if c.iteration == 0]
    assert len(first) > 2
    assert first == sorted(first, reverse=True)


def test_what_ran_out_of_shared_memory_runs_alone(tmp_path: Path) -> None:
    beside: list[int] = []

    class Watched(TableExecutor):
        shares_memory = True

        def collect(self):  # type: ignore[no-untyped-def]
            beside.append(self.capacity - self.free())
            return super().collect()

    executor = Watched(faults={0: Status.OUT_OF_MEMORY}, capacity=3)
    search_table(tmp_path, tiny_config(), executor)
    again = executor.attempts.index(executor.attempts[0], 1)
    assert beside[0] == 3
    assert beside[again] == 1


def test_arrival_order_keeps_workers_busy_and_replays(tmp_path: Path) -> None:
    config = tiny_config(search={"order": "arrival"})
    rng = np.random.default_rng(0)
    picks = [lambda n: 0, lambda n: n - 1, lambda n: int(rng.integers(n))]
    seen = set()
    for number, pick in enumerate(picks):
        workdir = tmp_path / str(number)
        events = search_table(workdir, config, TableExecutor(pick, capacity=3))
        found = digests_of(events)
        assert len(found) == 6
        assert len([e for e in events if isinstance(e, Evaluated)]) == 24
        assert digests_of(replay(workdir)) == found
        seen.add(found[-1])
    assert len(seen) > 1, "the order of arrival made no difference"


@pytest.mark.parametrize("stop", [1, 4, 9, 16, 25])
def test_arrival_order_goes_on_after_a_stop(tmp_path: Path, stop: int) -> None:
    config = tiny_config(search={"order": "arrival"})
    rng = np.random.default_rng(stop)
    random = TableExecutor(lambda n: int(rng.integers(n)), capacity=2)
    search_table(tmp_path, config, random, stop_after=stop)
    events = search_table(tmp_path, config, TableExecutor(capacity=2))
    assert len(digests_of(events)) == 6
    assert len([e for e in events if isinstance(e, Asked)]) == 6
    assert digests_of(replay(tmp_path)) == digests_of(events)


@pytest.mark.parametrize("part", ["journal.sqlite", "journal.sqlite-wal"])
def test_a_journal_cut_short_is_resumed_or_refused(tmp_path: Path, part: str) -> None:
    config = tiny_config()
    with journal.create_or_open(tmp_path / "whole") as facts:
        facts.start(Run(config, SPEC, "none", {}))
        events = list(search(problem_of(config), facts, TableExecutor()))
        if part == "journal.sqlite":
            facts._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        # As a kill leaves it: the files, and nobody who closes them.
        shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(25):
        workdir = tmp_path / str(number)
        shutil.copytree(tmp_path / "killed", workdir)
        size = (workdir / part).stat().st_size
        with open(workdir / part, "r+b") as file:
            file.truncate(int(rng.integers(size)))
        try:
            assert digests_of(search_table(workdir, config)) == digests_of(events)
        except JournalError as error:
            refused += 1
            assert "\n" not in str(error)
    # Of a log cut short, older pages hide newer ones of the file: that may show, too.
    assert refused > 0 if part == "journal.sqlite" else refused < 25


def test_a_full_disk_is_one_line_and_nothing_is_lost(
    tmp_path: Path, small_disk: Path
) -> None:
    config = tiny_config(agent={"schedule": "1.0:120"}, search={"batch": 8})
    workdir, executors = small_disk / "run", (TableExecutor(), TableExecutor())
    with pytest.raises(JournalError, match=r"full; what was recorded is safe") as error:
        search_table(workdir, config, executors[0])
    assert "\n" not in str(error.value)
    more = ["mount", "-o", "remount,size=20m", str(small_disk)]
    subprocess.run(more, check=True)
    events = search_table(workdir, config, executors[1])
    assert digests_of(events) == digests_of(search_table(tmp_path / "whole", config))
    ids = [c.id for executor in executors for c in executor.attempts]
    # The one whose result did not fit is evaluated again.
    assert len(ids) - len(set(ids)) <= 1

"""Failures: what a search does with lost workers, bad candidates and their twins."""

import functools
from pathlib import Path

import pytest

from bqnn.errors import SearchError
from bqnn.evaluation.records import Evaluation, Status
from bqnn.search import journal
from bqnn.search.events import Evaluated, Event
from bqnn.search.summary import Summary, update
from tests.helpers.searches import (
    TableExecutor,
    digests_of,
    evaluated,
    problem_of,
    search_table,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation


def test_a_lost_worker_is_replaced_and_teaches_nothing(tmp_path: Path) -> None:
    config = tiny_config()
    whole = digests_of(search_table(tmp_path / "whole", config))
    lost = dict.fromkeys((0, 1, 2, 5, 9), Status.WORKER_LOST)
    executor = TableExecutor(faults=lost)
    assert digests_of(search_table(tmp_path / "lost", config, executor)) == whole
    with journal.open_readonly(tmp_path / "lost") as facts:
        statuses = [e.status for es in facts.history().attempts.values() for e in es]
    assert statuses.count(Status.WORKER_LOST) == 5


def test_a_worker_lost_for_the_fourth_time_counts_as_a_failure(tmp_path: Path) -> None:
    always_first = TableExecutor(
        faults=dict.fromkeys(range(50), Status.WORKER_LOST), capacity=1
    )
    events = search_table(tmp_path, tiny_config(), always_first, stop_after=6)
    event = evaluated(events)[0]
    tries = [c for c in always_first.attempts if c == event.candidate]
    assert len(tries) == 4
    assert event.evaluation.status == Status.FAILED
    assert event.evaluation.error.startswith("lost 4 workers: ")
    problem = problem_of(tiny_config())
    guess = Evaluation(Status.OK, accuracy=(0.1,))
    assert event.reward == problem.reward(event.candidate, guess)


def test_twins_of_a_failure_count_as_failures(tmp_path: Path) -> None:
    events, twins = _run_with_twins(tmp_path, {0: Status.FAILED})
    assert [e.evaluation.status for e in twins[1:]] == ["reused"] * (len(twins) - 1)
    summary = functools.reduce(update, events, Summary(20, 4))
    assert summary.failed == summary.counts[Status.FAILED] == len(twins)
    assert summary.done == 80
    assert summary.causes[Status.FAILED] == "failed on purpose"


def test_twins_of_a_block_that_lost_its_workers_are_tried_anew(tmp_path: Path) -> None:
    lost = dict.fromkeys(range(4), Status.WORKER_LOST)
    # In one batch, and in later ones.
    for batch in (4, 40):
        workdir = tmp_path / str(batch)
        _, twins = _run_with_twins(workdir, lost, batch)
        statuses = [event.evaluation.status for event in twins]
        assert statuses[:3] == ["failed", "ok", "reused"]
        assert set(statuses[3:]) <= {"reused"}
        with journal.open_readonly(workdir) as facts:
            known = facts.result_of(twins[0].candidate.hash)
        assert known and known.status == "ok"


def _run_with_twins(
    workdir: Path, faults: dict[int, Status], batch: int = 4
) -> tuple[list[Event], list[Evaluated]]:
    """Search where the block trained first, whose attempts go wrong, has twins."""
    config = tiny_config(
        agent={"schedule": f"1.0:{80 // batch}"},
        space={"max_layers": 1},
        search={"batch": batch},
    )
    executor = TableExecutor(faults=faults, capacity=1)
    events = search_table(workdir, config, executor)
    sha = executor.attempts[0].hash
    twins = [e for e in evaluated(events) if e.candidate.hash == sha]
    assert len(twins) > 2
    return events, twins


def test_out_of_memory_is_tried_once_more(tmp_path: Path) -> None:
    executor = TableExecutor(faults={0: Status.OUT_OF_MEMORY})
    search_table(tmp_path, tiny_config(), executor)
    first = executor.attempts[0]
    assert executor.attempts.count(first) == 2


@pytest.mark.parametrize(
    "status",
    [Status.DIVERGED, Status.OVER_BUDGET, Status.TIMED_OUT, Status.FAILED],
)
def test_a_bad_candidate_teaches_a_random_guess(tmp_path: Path, status: Status) -> None:
    executor = TableExecutor(faults={0: status})
    events = evaluated(search_table(tmp_path, tiny_config(), executor))
    bad = executor.attempts[0]
    assert executor.attempts.count(bad) == 1
    problem = problem_of(tiny_config())
    for event in events:
        if event.candidate.hash != bad.hash:
            continue
        guess = Evaluation(Status.OK, accuracy=(0.1,))
        assert event.reward == problem.reward(event.candidate, guess)
        if event.candidate != bad:
            assert event.evaluation.error.startswith(f"{status}: ")


def test_failures_in_a_row_stop_the_search_and_say_why(tmp_path: Path) -> None:
    executor = TableExecutor(faults=dict.fromkeys(range(99), Status.FAILED))
    with pytest.raises(SearchError, match="5 evaluations failed in a row.*on purpose"):
        search_table(tmp_path, tiny_config(), executor)
    assert len(executor.attempts) == 5
    # Failures with a success between them are no row.
    faults = {n: Status.FAILED for n in range(99) if n % 5}
    search_table(tmp_path / "other", tiny_config(), TableExecutor(faults=faults))

"""Fold: a journal replays to the state it was written from, or says where not."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from bqnn.errors import JournalError
from bqnn.evaluation.records import Evaluation, Status
from bqnn.search import journal
from bqnn.search.fold import ReplayError
from tests.helpers.paths import ASSETS
from tests.helpers.searches import (
    digests_of,
    evaluated,
    problem_of,
    replay,
    search_table,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation


def test_replay_reaches_every_digest(tmp_path: Path) -> None:
    whole = search_table(tmp_path, tiny_config())
    assert digests_of(replay(tmp_path)) == digests_of(whole)


def _tamper(workdir: Path, statement: str) -> None:
    connection = sqlite3.connect(workdir / journal.FILE_NAME)
    with connection:
        assert connection.execute(statement).rowcount == 1
    connection.close()


@pytest.mark.parametrize(
    ("change", "iteration"),
    [
        ("evaluations SET accuracy = '[0.1, 0.9]' WHERE iteration = 2 AND slot = 1", 2),
        # An epoch that no reward looks at.
        ("evaluations SET accuracy = replace(accuracy, '[0.1,', '[0.2,') "
         "WHERE iteration = 3 AND slot = 0", 3),
        ("evaluations SET status = 'failed' WHERE iteration = 1 AND slot = 0", 1),
        ("candidates SET block = '1,1,5,0,0;2,4,0,0,0' "
         "WHERE iteration = 4 AND slot = 2", 4),
        ("candidates SET flops = '5' WHERE iteration = 4 AND slot = 3", 4),
        ("tells SET digest = 'beef' WHERE number = 3", 3),
        ("asks SET epsilon = 0.7 WHERE iteration = 5", 5),
    ],
)  # fmt: skip
def test_replay_names_the_first_iteration_that_differs(
    tmp_path: Path, change: str, iteration: int
) -> None:
    search_table(tmp_path, tiny_config())
    _tamper(tmp_path, f"UPDATE {change}")
    with pytest.raises(ReplayError, match=f"^iteration {iteration}: "):
        replay(tmp_path)
    with pytest.raises(JournalError, match=f"^iteration {iteration}: "):
        search_table(tmp_path, tiny_config())


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("journal_v1", "8d3a1f5a6a4c15bd"),
        ("journal_v2", "644a260375fbba8e"),
        # With what version 3 added: results learnt, blocks tried first, a source.
        ("journal_v3", "480ab272d9b8802b"),
        # With what version 4 added: rungs, full trainings and fits.
        ("journal_v4", "3be842fad7062355"),
        # With what version 5 added: repeats and latencies, most of them over a limit.
        ("journal_v5", "2a8628fe6c0cfc73"),
    ],
)
def test_a_journal_of_an_older_schema_still_replays(
    tmp_path: Path, name: str, last: str
) -> None:
    # Written by searches of that version; their digests must come out everywhere.
    shutil.copy(ASSETS / f"{name}.sqlite", tmp_path / journal.FILE_NAME)
    events = replay(tmp_path)
    assert digests_of(events)[-1].startswith(last)
    statuses = [e.evaluation.status for e in evaluated(events)]
    assert {Status.OK, Status.REUSED} <= set(statuses)


def test_rewards_can_be_recomputed_with_other_weights(tmp_path: Path) -> None:
    events = evaluated(search_table(tmp_path, tiny_config()))
    other = problem_of(tiny_config(reward={"mu": 0.0, "rho": 0.0}))
    for event in events:
        accuracy = other.reward(event.candidate, event.evaluation)
        assert accuracy == event.evaluation.accuracy[-1]


@pytest.mark.parametrize(
    "name",
    [
        "journal_v1",
        "journal_v1_stopped",
        "journal_v2",
        "journal_v3",
        "journal_v4",
        "journal_v5",
    ],
)
def test_a_journal_of_an_older_schema_takes_new_facts(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / journal.FILE_NAME
    shutil.copy(ASSETS / f"{name}.sqlite", path)
    with journal.open_readonly(tmp_path) as facts:
        old = facts.run(), facts.history()
    for _ in range(2):
        with journal.create_or_open(tmp_path) as facts:
            assert (facts.run(), facts.history()) == old
            (candidate, *_) = old[1].asks[-1].candidates
            number = len(facts.history().attempts.get(candidate.id, ())) + 1
    found = Evaluation(Status.REUSED, (0.1,), source="elsewhere")
    with journal.create_or_open(tmp_path) as facts:
        facts.add_evaluation(candidate, number, found)
        assert facts.history().attempts[candidate.id][-1] == found

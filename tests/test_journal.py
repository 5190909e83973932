"""The journal: what goes in comes out, one writer, one line for what is wrong."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bqnn import journal
from bqnn.config import Config
from bqnn.errors import JournalError
from bqnn.history import Ask, Run, Tell
from bqnn.nsc import parse
from bqnn.records import Candidate, Evaluation, Status
from tests.searches import SPEC, tiny_config

RUN = Run(Config(), SPEC, "f00d", {"jax": "1"})
CANDIDATES = tuple(
    Candidate(0, slot, parse("1,1,3,0,0;2,4,0,1,0"), "ab", 7, 2**70, 3, 4, 5, 2**80)
    for slot in range(2)
)
EVALUATION = Evaluation(
    Status.OK, (0.1, 1 / 3), 2, {"train": 1.5}, "cpu", "inline", "none"
)


def _execute(workdir: Path, statement: str, *values: Any) -> None:
    connection = sqlite3.connect(workdir / journal.FILE_NAME)
    with connection:
        connection.execute(statement, values)
    connection.close()


def _filled(workdir: Path) -> None:
    with journal.create_or_open(workdir) as facts:
        facts.start(RUN)
        facts.add_ask(Ask(0, 0, 0.5, CANDIDATES))
        lost = Evaluation(Status.WORKER_LOST, error="killed")
        facts.add_evaluation(CANDIDATES[1], 1, lost)
        facts.add_evaluation(CANDIDATES[1], 2, EVALUATION)
        facts.add_evaluation(CANDIDATES[0], 1, EVALUATION)
        facts.add_tell(Tell(0, ((0, 0), (0, 1)), "d1", "e1"))


def test_facts_come_out_as_they_went_in(tmp_path: Path) -> None:
    _filled(tmp_path / "new" / "run")
    with journal.open_readonly(tmp_path / "new" / "run") as facts:
        assert facts.run() == RUN
        history = facts.history()
    assert history.asks == (Ask(0, 0, 0.5, CANDIDATES),)
    assert history.attempts[0, 0] == (EVALUATION,)
    assert [e.status for e in history.attempts[0, 1]] == ["worker_lost", "ok"]
    assert history.tells == (Tell(0, ((0, 0), (0, 1)), "d1", "e1"),)


def test_a_second_writer_is_refused_with_the_holder_named(tmp_path: Path) -> None:
    import os

    with journal.create_or_open(tmp_path):
        with pytest.raises(JournalError, match=f"in use.*pid {os.getpid()}"):
            journal.create_or_open(tmp_path)
        journal.open_readonly(tmp_path)  # readers are welcome
    journal.create_or_open(tmp_path)


def test_another_configuration_is_refused_with_the_fields_named(
    tmp_path: Path,
) -> None:
    with journal.create_or_open(tmp_path) as facts:
        facts.start(RUN)
        facts.start(RUN)
        other = RUN._replace(config=tiny_config(search={"seed": 3}))
        with pytest.raises(JournalError, match=r"search.seed: 0 -> 3.*use another"):
            facts.start(other)
        with pytest.raises(JournalError, match="the images of cifar100 are not"):
            facts.start(RUN._replace(fingerprint="beef"))


def test_a_fact_cannot_be_recorded_twice(tmp_path: Path) -> None:
    _filled(tmp_path)
    with journal.create_or_open(tmp_path) as facts, pytest.raises(JournalError):
        facts.add_evaluation(CANDIDATES[0], 1, EVALUATION)


def test_a_batch_is_recorded_whole_or_not_at_all(tmp_path: Path) -> None:
    twice = (CANDIDATES[0], CANDIDATES[0])
    with journal.create_or_open(tmp_path) as facts:
        facts.start(RUN)
        with pytest.raises(JournalError):
            facts.add_ask(Ask(0, 0, 0.5, twice))
        assert facts.history().asks == ()


def test_no_journal_and_an_empty_one_say_so(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="has no journal.sqlite: want the --workdir"):
        journal.open_readonly(tmp_path)
    journal.create_or_open(tmp_path)
    with pytest.raises(JournalError, match="its search never began"):
        journal.open_readonly(tmp_path).run()


def test_a_work_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="file"):
        journal.create_or_open(tmp_path / "file")


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    _filled(tmp_path)
    _execute(tmp_path, "PRAGMA user_version=99")
    with pytest.raises(JournalError, match="schema version 99.*install the newer"):
        journal.open_readonly(tmp_path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / journal.FILE_NAME).write_bytes(b"no database at all, but text" * 99)
    for opener in (journal.open_readonly, journal.create_or_open):
        with pytest.raises(JournalError, match="damaged or no journal") as caught:
            opener(tmp_path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE candidates SET block = '1,9,9,9,9'",
        "UPDATE candidates SET flops = 'many'",
        "UPDATE evaluations SET status = 'fine'",
        "UPDATE evaluations SET accuracy = '[1,'",
        "UPDATE evaluations SET accuracy = '5'",
        "UPDATE tells SET places = '{'",
        "DELETE FROM candidates",
    ],
)
def test_a_malformed_fact_is_one_clear_line(tmp_path: Path, statement: str) -> None:
    _filled(tmp_path)
    _execute(tmp_path, statement)
    with (
        journal.open_readonly(tmp_path) as facts,
        pytest.raises(JournalError, match="holds a malformed fact") as caught,
    ):
        facts.history()
    assert "\n" not in str(caught.value)


def test_a_malformed_configuration_is_one_clear_line(tmp_path: Path) -> None:
    _filled(tmp_path)
    _execute(tmp_path, """UPDATE run SET config = '{"data": {"nmae": 1}}'""")
    with (
        journal.open_readonly(tmp_path) as facts,
        pytest.raises(JournalError, match="unknown configuration field data.nmae"),
    ):
        facts.run()


def test_every_commit_is_on_the_disk_before_the_search_goes_on(tmp_path: Path) -> None:
    with journal.create_or_open(tmp_path) as facts:
        connection = facts._connection
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        full = 2
        assert connection.execute("PRAGMA synchronous").fetchone() == (full,)

"""The journal: what goes in comes out, one writer, one line for what is wrong."""

import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bqnn.errors import JournalError
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.search import journal
from bqnn.search.history import Ask, Run, Tell
from bqnn.space.nsc import parse
from tests.helpers.searches import SPEC, tiny_config

RUN = Run(tiny_config(search={"batch": 2}), SPEC, "f00d", {"jax": "1"})
CANDIDATES = tuple(
    Candidate(0, slot, parse("1,1,3,0,0;2,4,0,1,0"), "ab", 7, 2**70, 3, 4, 5, 2**80)
    for slot in range(2)
)
# Of a pod, whose flags are many.
DEVICE = "TPU v5; XLA_FLAGS=" + "--xla_flag=true " * 200
EVALUATION = Evaluation(
    Status.OK, (0.1, 1 / 3), 2, {"train": 1.5}, DEVICE, "inline", "none"
)


def _execute(workdir: Path, statement: str, *values: Any) -> None:
    connection = sqlite3.connect(workdir / journal.FILE_NAME)
    with connection:
        connection.execute(statement, values)
    connection.close()


def _filled(workdir: Path) -> None:
    with journal.create_or_open(workdir) as facts:
        _fill(facts)


def _fill(facts: journal.Journal) -> None:
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
        with pytest.raises(JournalError, match="the images of digits are not"):
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


SECOND = "table evaluations, row iteration 0, slot 1, attempt 2"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE candidates SET block = '1,1,9,9,9' WHERE slot = 1",
         "table candidates, row iteration 0, slot 1, column block: layer '1,1,9,9,9'"),
        ("UPDATE candidates SET flops = 'many' WHERE slot = 0",
         "row iteration 0, slot 0, column flops is 'many': want a positive integer"),
        ("UPDATE candidates SET flops = 0", "column flops is '0': want a positive"),
        ("UPDATE candidates SET edges = -1", "column edges is -1: want an integer"),
        ("UPDATE candidates SET nodes = 'x'", "column nodes is 'x': want an integer"),
        ("UPDATE candidates SET hash = X'ff'", r"column hash is b'\xff': want hexa"),
        ("UPDATE candidates SET slot = 7 WHERE slot = 1",
         "table asks, row iteration 0: it has 2 candidates: want slots 0 to 1"),
        ("UPDATE candidates SET iteration = 3", "batch 3 was never asked"),
        ("UPDATE candidates SET block = '1,4,0,0,0;2,4,0,0,0;3,4,0,0,0;4,4,0,0,0'",
         "row iteration 0, slot 0: block has 4 layers: want 3 at most"),
        ("UPDATE run SET config = json_set(config, '$.space.types', json('[\"add\"]'))",
         "column config: space.types is ('add',): want a type"),
        ("UPDATE run SET config = "
         "json_set(config, '$.space.types', json('[\"identity\"]'))",
         "which space.types has not"),
        ("UPDATE candidates SET block = '1,1,3,0,0;2,7,2,0,0'",
         "row iteration 0, slot 0: block is dense, which space.wirings has not"),
        ("DELETE FROM candidates", "row iteration 0: it has 0 candidates"),
        ("UPDATE asks SET iteration = 1", "table candidates: batch 0 was never"),
        ("UPDATE asks SET told = 1", "row iteration 0: told is 1: want 0 to 0"),
        ("UPDATE asks SET epsilon = 9e999", "column epsilon is inf: want a number"),
        ("UPDATE evaluations SET status = 'fine' WHERE attempt = 2",
         f"{SECOND}, column status is 'fine': want one of ok, diverged"),
        ("UPDATE evaluations SET accuracy = '[1,' WHERE attempt = 2",
         f"{SECOND}, column accuracy is '[1,': want JSON"),
        ("UPDATE evaluations SET accuracy = '5'", "is 5: want a list of fractions"),
        ("UPDATE evaluations SET accuracy = '[NaN]'", "is nan: want a number from 0"),
        ("UPDATE evaluations SET accuracy = '[2]'", "accuracy is 2: want a number"),
        ("UPDATE evaluations SET accuracy = CAST(zeroblob(99999) AS TEXT)",
         "want JSON"),
        ("UPDATE evaluations SET error = CAST(X'ff' AS TEXT)", "column error is "),
        ("UPDATE evaluations SET seconds = '{\"train\": Infinity}'", "seconds is inf"),
        ("UPDATE evaluations SET attempt = 3 WHERE attempt = 2",
         "row iteration 0, slot 1, attempt 3: want attempt 2 before it"),
        ("UPDATE evaluations SET slot = 8 WHERE slot = 0",
         "row iteration 0, slot 8: no such candidate was asked"),
        ("UPDATE tells SET places = '{'", "row number 0, column places is '{': want J"),
        ("UPDATE tells SET places = '[]'", "places is []: want a list of candidates"),
        ("UPDATE tells SET places = '[[0, [0]]]'", "places is [0]: want an integer"),
        ("UPDATE tells SET places = '[[0, 0], [0, 0]]'",
         "row number 0: slot 0 of batch 0 was told before"),
        ("UPDATE tells SET places = '[[0, 0], [0, 7]]'",
         "row number 0: slot 7 of batch 0 has no final evaluation"),
        ("UPDATE tells SET places = '[[0, 0]]'", "it has 1 candidates: want 2"),
        ("UPDATE tells SET number = 1", "row number 1: it is out of order: want 0"),
        ("UPDATE tells SET digest = 'none'", "digest is 'none': want hexadecimal"),
        ("UPDATE tells SET digest = 'ab:change'", "digest is 'ab:change': want hexa"),
        ("UPDATE tells SET digest = 'ab:changes'",
         "row number 0: its digest is of changes: want one of the whole state"),
        ("UPDATE run SET images = '{}'", "column images has no height"),
        ("UPDATE run SET images = replace(images, '8', '0')",
         "column images: height is 0: want an integer from"),
        ("UPDATE run SET config = '[]'", "column config: the configuration is []"),
        ("UPDATE run SET config = replace(config, '\"batch\": 2', '\"batch\": -1')",
         "table run, column config: search.batch is -1: want a number from 1"),
    ],
)  # fmt: skip
def test_a_malformed_fact_is_one_clear_line(
    tmp_path: Path, statement: str, message: str
) -> None:
    _filled(tmp_path)
    _execute(tmp_path, statement)
    with (
        journal.open_readonly(tmp_path) as facts,
        pytest.raises(JournalError, match=re.escape(message)) as caught,
    ):
        facts.history()
    assert str(caught.value).startswith(f"{tmp_path}/journal.sqlite holds a malformed")


def test_json_nested_a_thousand_deep_is_one_line(tmp_path: Path) -> None:
    _filled(tmp_path)
    for depth in (900, 100_000):
        nested = "[" * depth + "]" * depth
        _execute(tmp_path, "UPDATE tells SET places = ?", nested)
        with (
            journal.open_readonly(tmp_path) as facts,
            pytest.raises(JournalError, match="row number 0, column places is"),
        ):
            facts.history()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("ALTER TABLE asks RENAME COLUMN told TO untold", "no such column: told"),
        ("DROP TABLE tells", "no such table: tells"),
        ("CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
         "SELECT i FROM n) SELECT i FROM n", "holds a view endless: it is no journal"),
    ],
)  # fmt: skip
def test_other_tables_than_ours_are_refused(
    tmp_path: Path, statement: str, message: str
) -> None:
    _filled(tmp_path)
    _execute(tmp_path, statement)
    with pytest.raises(JournalError, match=message):
        journal.open_readonly(tmp_path).history()


def test_an_error_that_is_no_unicode_is_recorded(tmp_path: Path) -> None:
    lost = Evaluation(Status.FAILED, error="no file b\udcffd", worker="w\udcff")
    with journal.create_or_open(tmp_path) as facts:
        facts.start(RUN)
        facts.add_ask(Ask(0, 0, 0.5, CANDIDATES))
        facts.add_evaluation(CANDIDATES[0], 1, lost)
        (found,) = facts.history().attempts[0, 0]
    assert (found.error, found.worker) == (r"no file b\udcffd", r"w\udcff")


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


def test_a_journal_that_is_moved_away_takes_nothing_more(tmp_path: Path) -> None:
    workdir, away = tmp_path / "run", tmp_path / "away"
    with journal.create_or_open(workdir) as facts:
        facts.start(RUN)
        workdir.rename(away)
        with pytest.raises(JournalError, match="removed or moved.*put it back"):
            facts.add_ask(Ask(0, 0, 0.5, CANDIDATES))
        away.rename(workdir)
        facts.add_ask(Ask(0, 0, 0.5, CANDIDATES))
    with journal.open_readonly(workdir) as facts:
        assert len(facts.history().asks) == 1


def test_the_file_alone_holds_all_that_was_told(tmp_path: Path) -> None:
    workdir, copy = tmp_path / "run", tmp_path / "copy"
    copy.mkdir()
    with journal.create_or_open(workdir) as facts:
        _fill(facts)
        shutil.copy(workdir / journal.FILE_NAME, copy)
    with journal.open_readonly(copy) as facts:
        assert len(facts.history().tells) == 1


def test_a_journal_that_could_not_be_opened_is_not_locked(tmp_path: Path) -> None:
    (tmp_path / journal.FILE_NAME).write_bytes(b"no database" * 100)
    for _ in range(2):
        with pytest.raises(JournalError, match="damaged or no journal"):
            journal.create_or_open(tmp_path)
    (tmp_path / journal.FILE_NAME).unlink()
    _filled(tmp_path)

"""One fact changed: programs that read work, or say in one line what is wrong."""

import functools
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from bqnn.evaluation.records import Status
from bqnn.executors import activity
from bqnn.executors.activity import Activity
from bqnn.final import selection
from bqnn.report import block_tables, record, watch
from bqnn.report.page import page
from bqnn.report.page.payload import Source
from bqnn.report.watch import View
from bqnn.search import journal
from bqnn.search import master as search_lib
from bqnn.search.fold import fold
from bqnn.search.given import give
from bqnn.search.history import Run
from bqnn.search.master import Limits
from bqnn.search.problem import make_problem
from bqnn.search.summary import Summary, update
from bqnn.space import nsc
from tests.helpers.fuzzing import (
    CONTROL,
    FRAGMENTS,
    Draw,
    attempt,
    changed_json,
    printed,
)
from tests.helpers.searches import (
    SPEC,
    FullExecutor,
    TableExecutor,
    problem_of,
    tiny_config,
)
from tests.helpers.thorough import times
from tests.test_errors import HARMFUL

pytestmark = pytest.mark.quick_compilation

CONFIG = tiny_config(
    space={"max_layers": 2},
    agent={"schedule": "1.0:1,0.5:2", "replay_updates": 8},
    train={"epochs": 2, "rungs": (1,)},
    reward={"kind": "learned", "full_blocks": 6, "full_epochs": 3},
)
RUN = Run(CONFIG, SPEC, "f00d", {"python": "3"})

_VALUES: tuple[Any, ...] = (
    *(-1, 0, 1, 2, 3, 5, 10**12, 2**63 - 1, -(2**63), 0.5, -0.5, 1e308, 9e999, -9e999),
    *("", "x", "0", "-1", "007", "9" * 99, "9" * 5000, "NaN", "ok", "reused", "failed"),
    *("1,1,3,0,0", "1,4,0,0,0;2,4,0,0,0;3,4,0,0,0", "1,1,3,0,0;" * 5000, "ab" * 32),
    *("[", "[]", "{}", "null", "3", '"x"', "[0.5]", "[[0, 0]]", '{"train": 1}'),
    *("[" * 900 + "]" * 900, "[" * 99_999 + "]" * 99_999, '{"a":' * 99_999, CONTROL),
    *(b"", b"ok", b"\xff\xfe\x00", b"[0.5]"),
)
VALUES = st.one_of(
    st.sampled_from(_VALUES),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
)
"""What may be put into a column; SQLite takes NaN for NULL."""


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that stopped half way, with a failure and a lost worker.

    It was told the results of another, tries a block first, and has learnt a reward.
    """
    workdir, earlier = (tmp_path_factory.mktemp(n) for n in ("stopped", "earlier"))
    with journal.create_or_open(earlier) as facts:
        facts.start(RUN)
        limits = Limits(candidates=2)
        list(search_lib.search(problem_of(CONFIG), facts, TableExecutor(), limits))
    faults = {1: Status.WORKER_LOST, 3: Status.FAILED}
    with journal.create_or_open(workdir) as facts:
        facts.start(RUN)
        executor, limits = FullExecutor(faults=faults), Limits(candidates=12)
        work = give(facts, problem_of(CONFIG), [earlier], [nsc.parse("1,1,3,0,0")])
        list(search_lib.search(work, facts, executor, limits))
        history = facts.history()
    assert 0 < len(history.tells) < len(history.asks)
    assert history.fit
    return workdir


@pytest.fixture
def compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make equal problems once: to compile an agent takes longer than all else."""
    cached = functools.cache(make_problem)
    for module in (record, selection):
        monkeypatch.setattr(module, "make_problem", cached)


def _change(draw: Draw, connection: sqlite3.Connection) -> None:
    """Change one fact, delete a row, or change something in a column's JSON."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    table = draw(st.sampled_from([name for (name,) in connection.execute(query)]))
    cursor = connection.execute(f"SELECT rowid, * FROM {table} ORDER BY rowid")
    columns = [description[0] for description in cursor.description]
    rowid, *row = draw(st.sampled_from(cursor.fetchall()))
    if draw(st.integers(0, 19)) == 0:
        connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (rowid,))
        return
    place = draw(st.sampled_from(range(len(row))))
    value = row[place]
    if isinstance(value, str) and value[:1] in ("[", "{") and draw(st.booleans()):
        value = changed_json(draw, json.loads(value))
    else:
        value = draw(VALUES)
    column = columns[1 + place]
    statement = f"UPDATE OR REPLACE {table} SET {column} = ? WHERE rowid = ?"
    connection.execute(statement, (value, rowid))


def _replay(workdir: Path) -> str:
    with journal.open_readonly(workdir) as facts:
        run, history = facts.run(), facts.history()
    work = record.make_problem(run.config, run.images)
    summary = Summary(work.iterations, run.config.search.batch)
    for event in fold(work, history):
        summary = update(summary, event)
    return printed(
        block_tables.best_blocks(summary.best), block_tables.outcomes(summary)
    )


def _report(workdir: Path, *others: Path) -> str:
    page.write_page([Source(folder) for folder in (workdir, *others)])
    return ""


def _watch(workdir: Path) -> str:
    found = record.read(workdir)
    if found is None:
        return ""
    found.points()
    return printed(watch.dashboard(watch.view_of(workdir, found), 1e9))


def _select(workdir: Path) -> str:
    return printed(block_tables.best_blocks(selection.best_of(workdir, 1)))


def _resume(workdir: Path) -> str:
    with journal.create_or_open(workdir) as facts:
        facts.start(RUN)
        work, executor = record.make_problem(CONFIG, SPEC), TableExecutor()
        list(search_lib.search(work, facts, executor, Limits(failures_in_a_row=99)))
    return _replay(workdir)


@pytest.mark.usefixtures("compiled_once")
@settings(
    max_examples=times(2000, 50),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_a_changed_fact_of_a_journal(
    stopped: Path, tmp_path: Path, data: st.DataObject
) -> None:
    shutil.copy(stopped / journal.FILE_NAME, tmp_path)
    connection = sqlite3.connect(tmp_path / journal.FILE_NAME)
    try:
        with connection:
            _change(data.draw, connection)
    except sqlite3.IntegrityError:
        reject()  # not even SQLite takes it
    finally:
        connection.close()
    both = functools.partial(_report, stopped)
    for program in (_replay, _report, both, _watch, _select, _resume):
        attempt(functools.partial(program, tmp_path))


NEWS = json.dumps(
    [
        Activity("worker 0", True, "1,1,3,0,0;2,7,0,0,0", 1e9),
        Activity("w", False, "", 0),
    ]
)


@settings(
    max_examples=times(2000, 150),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_changed_news_of_workers(tmp_path: Path, data: st.DataObject) -> None:
    news = changed_json(data.draw, json.loads(NEWS))
    if data.draw(st.integers(0, 9)) == 0:
        news = data.draw(st.one_of(st.text(), FRAGMENTS))
    path = tmp_path / activity.FILE_NAME
    path.write_text(news, encoding="utf-8", errors="surrogatepass")
    found = activity.read(tmp_path)
    view = View(CONTROL, Summary(1, 1), [], 1, True, found)
    text = printed(watch.dashboard(view, 1e9)).replace("\n", "")
    assert not HARMFUL.search(text), text

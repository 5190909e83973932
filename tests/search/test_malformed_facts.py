"""Facts of rungs and repeats that no search can have written: one clear line each."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bqnn.config import Config
from bqnn.errors import JournalError
from bqnn.search import journal
from tests.helpers.searches import (
    RepeatingExecutor,
    TableExecutor,
    replay,
    search_table,
)
from tests.search import test_ladder, test_repeats

pytestmark = pytest.mark.quick_compilation

SEARCHES: dict[str, tuple[Config, Callable[[], TableExecutor]]] = {
    "rungs": (test_ladder.CONFIG, test_ladder.CurveExecutor),
    "repeats": (test_repeats.CONFIG, RepeatingExecutor),
}


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete search of each kind, in a folder of its name."""
    folder = tmp_path_factory.mktemp("searches")
    for name, (config, make) in SEARCHES.items():
        search_table(folder / name, config, make())
    return folder


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("rungs", "asks SET rungs = '[]'", "its rungs are not after epochs [1, 3]"),
        ("rungs", "asks SET rungs = '[[1, 0.1]]'", "want an epoch and two numbers"),
        ("rungs", "asks SET rungs = '[[1, 2, 0], [3, 0, 0]]'", "is 2: want a number"),
        ("rungs", "evaluations SET accuracy = '[0.1, 0.2]' WHERE status = 'stopped'",
         "it stopped after 2 epochs, where it missed no rung"),
        ("rungs", "evaluations SET status = 'stopped' WHERE status = 'ok'",
         "it stopped after 6 epochs, where it missed no rung"),
        ("repeats", "asks SET repeat_from = 'null'", "train.repeats says otherwise"),
        ("repeats", "asks SET repeat_from = '2'", "is 2: want a number from 0 to 1"),
        ("repeats", "evaluations SET repeats = '[0.5, 7]'", "is 7: want a number"),
        ("repeats", "evaluations SET repeats = '[]'", "it has repeats []: want repea"),
        ("repeats", "evaluations SET repeats = '[0.5]' "
         "WHERE status = 'ok' AND repeats = '[]'", "it has repeats [0.5]: want none"),
    ],
)  # fmt: skip
def test_a_malformed_fact_is_one_clear_line(
    searches: Path, tmp_path: Path, name: str, change: str, message: str
) -> None:
    shutil.copy(searches / name / journal.FILE_NAME, tmp_path)
    connection = sqlite3.connect(tmp_path / journal.FILE_NAME)
    with connection:
        assert connection.execute(f"UPDATE {change}").rowcount
    connection.close()
    with pytest.raises(JournalError) as error:
        replay(tmp_path)
    assert message in str(error.value)

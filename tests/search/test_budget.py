"""Budget: what is over it is known before it is asked, and drawn again."""

import dataclasses
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bqnn.config import Config
from bqnn.errors import JournalError
from bqnn.evaluation.records import MOST_DRAWS
from bqnn.search import journal
from bqnn.search.fold import ReplayError
from bqnn.search.state import ask_batch, first_state
from bqnn.space.nsc import parse
from tests.helpers.searches import (
    TableExecutor,
    digests_of,
    evaluated,
    problem_of,
    replay,
    search_table,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation

LIMIT = 180  # Parameters: a third of the random blocks have more.


def _limited(limit: int = LIMIT, **sections: Any) -> Config:
    return tiny_config(budget={"max_params": limit}, **sections)


@pytest.mark.parametrize("agent", ["q", "random", "evolution", "local", "q_model"])
def test_every_agent_keeps_to_the_budget(tmp_path: Path, agent: str) -> None:
    config = _limited(agent={"name": agent})
    events = search_table(tmp_path, config)
    candidates = [event.candidate for event in evaluated(events)]
    assert all(candidate.network_params <= LIMIT for candidate in candidates)
    assert any(candidate.draw > 0 for candidate in candidates)
    assert digests_of(replay(tmp_path)) == digests_of(events)


def test_order_and_interrupts_change_no_draw(tmp_path: Path) -> None:
    config = _limited(search={"lag": 2}, agent={"name": "q_plus"})
    whole = digests_of(search_table(tmp_path / "whole", config))
    last = TableExecutor(pick=lambda count: count - 1)
    assert digests_of(search_table(tmp_path / "last", config, last)) == whole
    search_table(tmp_path / "cut", config, stop_after=9)
    assert digests_of(search_table(tmp_path / "cut", config)) == whole


def test_where_nothing_is_within_the_budget_the_last_draw_counts() -> None:
    problem = problem_of(_limited(1))
    asked = ask_batch(problem, first_state(problem, ()), 0, 0)
    assert {candidate.draw for candidate in asked.candidates} == {MOST_DRAWS - 1}
    # Every draw differs from the others.
    assert len({candidate.block for candidate in asked.candidates}) > 1


def test_given_blocks_keep_their_slots_whatever_they_cost() -> None:
    large = parse("1,1,5,0,0;2,1,5,1,0")
    problem = dataclasses.replace(problem_of(_limited()), first=(large,))
    first, *others = ask_batch(problem, first_state(problem, ()), 0, 0).candidates
    assert (first.block, first.draw) == (large, 0)
    assert all(candidate.network_params <= LIMIT for candidate in others)


def test_no_budget_draws_once(tmp_path: Path) -> None:
    events = search_table(tmp_path, tiny_config())
    assert {event.candidate.draw for event in evaluated(events)} == {0}


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ("draw = '64'", JournalError, "column draw is 64: want an integer"),
        ("draw = '-1'", JournalError, "column draw is -1: want an integer"),
        ("draw = '1' WHERE draw = '0'", ReplayError, "slot . differs"),
        ("draw = '0' WHERE draw = '1'", ReplayError, "slot . differs"),
    ],
)
def test_a_draw_that_was_changed_is_found(
    tmp_path: Path, change: str, error: type[Exception], said: str
) -> None:
    search_table(tmp_path, _limited())
    with sqlite3.connect(tmp_path / journal.FILE_NAME) as connection:
        connection.execute(f"UPDATE candidates SET {change}")
    with pytest.raises(error, match=said):
        replay(tmp_path)

"""Digests: of the whole state or of its changes, they find the first difference."""

import dataclasses
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.typing import ArrayLike

from bqnn.agents.agent import AgentState, digest
from bqnn.search import digests, journal
from bqnn.search.events import Event
from bqnn.search.fold import ReplayError, fold
from bqnn.search.history import History, Run
from bqnn.search.master import Limits, search
from bqnn.search.problem import Problem
from tests.helpers.paths import ASSETS
from tests.helpers.searches import (
    SPEC,
    TableExecutor,
    digests_of,
    last_digest,
    problem_of,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation

CONFIG = tiny_config(agent={"schedule": "1.0:4,0.1:4"})
WHOLE = [0, 4, 7]
"""The batches of `CONFIG` after which the state is hashed, by the fixture below."""


@pytest.fixture
def one_in_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow to hash the whole state once in four batches, small as it is."""
    leaves = jax.tree.leaves(problem_of(CONFIG).agent.init())
    size = sum(leaf.nbytes for leaf in leaves)
    allowed = size // (4 * CONFIG.search.batch)
    monkeypatch.setattr(digests, "BYTES_PER_CANDIDATE", allowed)


def _run(workdir: Path, candidates: int | None = None) -> list[Event]:
    with journal.create_or_open(workdir) as facts:
        facts.start(Run(CONFIG, SPEC, "none", {}))
        limits = Limits(candidates=candidates)
        return list(search(problem_of(CONFIG), facts, TableExecutor(), limits))


def _history(workdir: Path) -> History:
    with journal.open_readonly(workdir) as facts:
        return facts.history()


def _whole(found: Sequence[str]) -> list[int]:
    return [n for n, text in enumerate(found) if not text.endswith(":changes")]


def test_a_small_state_is_hashed_whole_after_every_batch(tmp_path: Path) -> None:
    assert _whole(digests_of(_run(tmp_path))) == list(range(8))


def test_a_large_state_is_hashed_whole_now_and_then_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    always = digests_of(_run(tmp_path / "always"))
    request.getfixturevalue("one_in_four")
    found = digests_of(_run(tmp_path / "now and then"))
    assert _whole(found) == WHOLE
    assert [found[n] for n in WHOLE] == [always[n] for n in WHOLE]
    assert len(set(found)) == 8
    # What is recorded decides how it is replayed, not what would be recorded today.
    monkeypatch.undo()
    history = _history(tmp_path / "now and then")
    assert digests_of(list(fold(problem_of(CONFIG), history))) == found


@pytest.mark.usefixtures("one_in_four")
def test_a_stopped_search_goes_on_to_the_same_digests(tmp_path: Path) -> None:
    whole = digests_of(_run(tmp_path / "whole"))
    stops = set()
    for candidates in range(5, 21, 3):
        workdir = tmp_path / str(candidates)
        stops.add(len(digests_of(_run(workdir, candidates))))
        assert digests_of(_run(workdir)) == whole
    assert {2, 5} <= stops


@pytest.mark.usefixtures("one_in_four")
@pytest.mark.parametrize(
    ("change", "iteration"),
    [
        ("evaluations SET accuracy = '[0.1, 0.9]' WHERE iteration = 2 AND slot = 1", 2),
        ("tells SET digest = 'beef:changes' WHERE number = 3", 3),
        ("tells SET digest = substr(digest, 1, 64) WHERE number = 3", 3),
        ("tells SET digest = 'beef' WHERE number = 4", 4),
        ("tells SET digest = digest || ':changes' WHERE number = 4", 4),
    ],
)
def test_a_replay_names_the_batch_of_a_fact_that_was_changed(
    tmp_path: Path, change: str, iteration: int
) -> None:
    _run(tmp_path)
    connection = sqlite3.connect(tmp_path / journal.FILE_NAME)
    with connection:
        assert connection.execute(f"UPDATE {change}").rowcount == 1
    connection.close()
    with pytest.raises(ReplayError, match=f"^iteration {iteration}: "):
        list(fold(problem_of(CONFIG), _history(tmp_path)))
    with pytest.raises(ReplayError, match=f"^iteration {iteration}: "):
        _run(tmp_path)


def _disturbed(batch: int, cell: Callable[[np.ndarray, np.ndarray], int]) -> Problem:
    """A problem whose agent gets the last bit of a Q-value wrong in one batch.

    Args:
      batch: its number.
      cell: (table before, table afterwards) -> the index of the Q-value.
    """
    problem = problem_of(CONFIG)

    def tell(state: AgentState, actions: ArrayLike, rewards: ArrayLike) -> AgentState:
        after = problem.agent.tell(state, actions, rewards)
        if int(state.iteration) != batch:
            return after
        old, new = np.array(state.q_values), np.array(after.q_values)
        index = cell(old, new)
        new[index] = np.nextafter(new[index], np.float32(9))
        return after._replace(q_values=new)

    disturbed = dataclasses.replace(problem)
    vars(disturbed)["agent"] = problem.agent._replace(tell_donating=tell)
    return disturbed


@pytest.mark.usefixtures("one_in_four")
@pytest.mark.parametrize("batch", range(8))
def test_a_replay_names_the_batch_in_which_a_last_bit_differs(
    tmp_path: Path, batch: int
) -> None:
    _run(tmp_path)
    history = _history(tmp_path)
    for nth in (0, 1, -1):

        def written(old: np.ndarray, new: np.ndarray, nth: int = nth) -> int:
            return int(np.flatnonzero(old != new)[nth])

        problem = _disturbed(batch, written)
        with pytest.raises(ReplayError, match=f"^iteration {batch}: the digest"):
            list(fold(problem, history))


@pytest.mark.usefixtures("one_in_four")
def test_a_stray_write_is_found_when_the_whole_state_is_hashed(tmp_path: Path) -> None:
    _run(tmp_path)
    stray = _disturbed(2, lambda old, new: len(new) - 1)  # padding
    with pytest.raises(ReplayError, match="^iteration 4: the digest"):
        list(fold(stray, _history(tmp_path)))


@pytest.mark.parametrize(
    ("name", "recorded", "last", "whole"),
    [
        # A complete search; one with 9 of 12 batches told, whose state of 1 MB is large
        # for batches of two. Its last digest is what the version that wrote it came to.
        ("journal_v1", "8d3a1f5a6a4c15bd", "8d3a1f5a6a4c15bd", [*range(6)]),
        ("journal_v1_stopped", "b5e6d8dd36c22021", "0fa9af5991122c12", [*range(9), 11]),
    ],
)
def test_journals_of_whole_hashes_replay_and_go_on(
    tmp_path: Path, name: str, recorded: str, last: str, whole: list[int]
) -> None:
    shutil.copy(ASSETS / f"{name}.sqlite", tmp_path / journal.FILE_NAME)
    with journal.open_readonly(tmp_path) as facts:
        run, history = facts.run(), facts.history()
    problem = problem_of(run.config)
    assert last_digest(list(fold(problem, history))).startswith(recorded)
    with journal.create_or_open(tmp_path) as facts:
        facts.start(run)
        found = digests_of(list(search(problem, facts, TableExecutor())))
    assert _whole(found) == whole
    assert found[-1].startswith(last)
    assert digests_of(list(fold(problem, _history(tmp_path)))) == found


@pytest.mark.parametrize("replay_updates", [0, 64])
def test_all_that_a_batch_writes_is_in_its_changes(replay_updates: int) -> None:
    agent = problem_of(tiny_config(agent={"replay_updates": replay_updates})).agent
    state = agent.init()
    for iteration in range(4):
        actions, _ = agent.ask(state, iteration)
        before, rewards = state, actions[:, 0].astype(np.float32) / 50
        state = agent.tell(state, actions, rewards)
    changes = digest(agent.changes(state))
    old, new = np.array(before.q_values), np.array(state.q_values)
    written = np.flatnonzero(old != new)
    assert len(written) > 5
    for place in written:
        other = new.copy()
        other[place] = old[place]
        assert digest(agent.changes(state._replace(q_values=other))) != changes
    for row in range(12, 16):
        memory = state.memory
        rewards = np.array(memory.rewards)
        rewards[row] += 1
        other = state._replace(memory=memory._replace(rewards=rewards))
        assert digest(agent.changes(other)) != changes

"""Rounds: blocks trained in full, and a reward learnt from them."""

import dataclasses
import itertools
import json
import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bqnn.errors import ConfigError, JournalError
from bqnn.evaluation.recipe import config_for
from bqnn.evaluation.records import Candidate, Status
from bqnn.report.q_history import QHistory
from bqnn.search import journal, rounds
from bqnn.search.events import Evaluated, Event, Refitted, TrainedInFull
from bqnn.search.fold import ReplayError
from bqnn.search.history import History
from bqnn.search.master import Limits
from bqnn.search.problem import make_candidate
from bqnn.search.settled import evaluated as settled
from bqnn.search.summary import Summary, update
from bqnn.space.nsc import parse
from tests.helpers.searches import (
    FullExecutor,
    digests_of,
    problem_of,
    replay,
    search_table,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation

FULL = {"kind": "learned", "full_blocks": 7, "full_epochs": 5}
CONFIG = tiny_config(reward=FULL, train={"epochs": 2, "batch": 64})


def _history(workdir: Path) -> History:
    with journal.open_readonly(workdir) as facts:
        return facts.history()


def _refitted(events: list[Event]) -> list[Refitted]:
    return [event for event in events if isinstance(event, Refitted)]


def test_a_search_trains_blocks_in_full_and_learns_from_them(tmp_path: Path) -> None:
    executor = FullExecutor()
    events = search_table(tmp_path, CONFIG, executor)
    first, second = _refitted(events)
    assert first.fit
    assert second.fit
    assert (first.fit.blocks, second.fit.blocks) == (3, 7)
    accuracy, size = second.fit.weights
    assert accuracy > 0
    assert size > 0
    full = [event.candidate for event in events if isinstance(event, TrainedInFull)]
    assert len({candidate.block for candidate in full}) == 7
    assert {candidate.epochs for candidate in full} == {5}
    assert all(candidate.iteration >= 6 for candidate in full)
    history = _history(tmp_path)
    assert [this.told for this in history.rounds] == [2, 3]
    assert history.fit == second.fit
    # What is shown is what the last fit foretells.
    shown = list(settled(problem_of(CONFIG), history))
    assert len(shown) == 24
    for event in shown:
        early, params = event.evaluation.accuracy[-1], event.candidate.network_params
        foretold = second.fit.intercept + accuracy * early + size * math.log(params)
        assert event.reward == pytest.approx(foretold)
    summary = Summary(6, 4)
    for happened in events:
        summary = update(summary, happened)
    assert summary.in_full == 7
    assert summary.done == 24
    assert summary.fit == second.fit
    best = max(event.reward for event in shown)
    assert summary.best[0].reward == pytest.approx(best)


@pytest.mark.parametrize("order", ["slot", "arrival"])
def test_rounds_do_not_depend_on_workers_and_interruptions(
    tmp_path: Path, order: str
) -> None:
    search: dict[str, Any] = {"batch": 4, "order": order}
    config = tiny_config(reward=FULL, train={"epochs": 2}, search=search)
    for name, capacity, stops in (
        ("one", 1, ()),
        ("many", 7, ()),
        ("cut", 3, (9, 13, 16, 25)),
    ):
        for stop in stops:
            backwards = FullExecutor(lambda count: count - 1, capacity=capacity)
            search_table(tmp_path / name, config, backwards, stop_after=stop)
        search_table(tmp_path / name, config, FullExecutor(capacity=capacity))
    found = {n: digests_of(replay(tmp_path / n)) for n in ("one", "many", "cut")}
    if order == "slot":
        assert found["one"] == found["many"] == found["cut"]


def test_a_replay_and_the_page_follow_a_learned_reward(tmp_path: Path) -> None:
    events = search_table(tmp_path, CONFIG, FullExecutor())
    again = replay(tmp_path)
    assert digests_of(again) == digests_of(events)
    assert [e.digest for e in _refitted(again)] == [e.digest for e in _refitted(events)]
    followed = QHistory(problem_of(CONFIG))
    history = _history(tmp_path)
    followed.follow(history._replace(tells=history.tells[:3]))
    followed.follow(history)
    assert len(followed.snapshots) == 6
    assert not followed.differs


def test_failures_in_full_are_not_fitted(tmp_path: Path) -> None:
    # The first two tells take eight candidates; then come the blocks of a round.
    config = tiny_config(reward=FULL, train={"epochs": 2}, search={"lag": 0})
    events = search_table(tmp_path, config, FullExecutor())
    count = len(_trained_before(events))
    faults = dict.fromkeys(range(count, count + 3), Status.FAILED)
    workdir = tmp_path / "failed"
    events = search_table(workdir, config, FullExecutor(faults=faults))
    first, second = _refitted(events)
    assert first.fit is None
    assert second.fit
    assert second.fit.blocks == 4
    assert digests_of(replay(workdir)) == digests_of(events)


def _trained_before(events: list[Event]) -> list[Candidate]:
    """List what was evaluated before the first round, without twins."""
    before = itertools.takewhile(lambda e: not isinstance(e, TrainedInFull), events)
    return [
        event.candidate
        for event in before
        if isinstance(event, Evaluated) and event.evaluation.status != Status.REUSED
    ]


def test_a_limit_stops_within_a_round(tmp_path: Path) -> None:
    for most in (9, 10, 11):
        events = search_table(
            tmp_path, CONFIG, FullExecutor(), limits=Limits(candidates=most)
        )
        assert _history(tmp_path).trained <= most
    assert not digests_of(events)[-1:] or len(_history(tmp_path).tells) < 6
    whole = search_table(tmp_path / "whole", CONFIG, FullExecutor())
    gone_on = search_table(tmp_path, CONFIG, FullExecutor())
    assert digests_of(gone_on) == digests_of(whole)


def test_a_training_in_full_has_a_longer_recipe() -> None:
    config = tiny_config(
        train={"epochs": 2, "decay_epochs": 3, "rungs": (1,)},
        budget={"timeout": 60},
        reward=FULL,
    )
    candidate = make_candidate(problem_of(tiny_config()), parse("1,1,3,0,0"))
    assert config_for(candidate, config) == config
    full = config_for(dataclasses.replace(candidate, epochs=7), config)
    assert (full.train.epochs, full.train.decay_epochs, full.train.rungs) == (7, 10, ())
    assert full.budget.timeout == 210


def test_without_a_learned_reward_there_are_no_rounds() -> None:
    assert rounds.moments(tiny_config()) == []
    assert rounds.moments(CONFIG) == [2, 3]
    with pytest.raises(ConfigError, match=r"reward.full_epochs is 2: want more than"):
        tiny_config(reward={**FULL, "full_epochs": 2}, train={"epochs": 2})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE rounds SET told = 1 WHERE number = 0", "came after 1 batches told"),
        ("INSERT INTO rounds VALUES (2, 3, 0)", "came after 3 batches told"),
        ("DELETE FROM fits WHERE number = 0", "table fits, row number"),
        ("DELETE FROM rounds", "was never asked"),
        (
            "DELETE FROM evaluations WHERE iteration = 6",
            "its blocks were not all trained",
        ),
        ("UPDATE fits SET fit = '{}'", "column fit"),
        ("UPDATE candidates SET slot = 9 WHERE iteration = 6 AND slot = 1", "no such"),
    ],
)
def test_malformed_rounds_are_one_clear_line(
    tmp_path: Path, change: str, message: str
) -> None:
    search_table(tmp_path, CONFIG, FullExecutor())
    with sqlite3.connect(tmp_path / journal.FILE_NAME) as facts:
        facts.execute(change)
    with pytest.raises(JournalError) as error:
        replay(tmp_path)
    assert message in str(error.value)


def test_a_replay_finds_another_fit_and_other_blocks(tmp_path: Path) -> None:
    search_table(tmp_path, CONFIG, FullExecutor())
    path = tmp_path / journal.FILE_NAME
    with sqlite3.connect(path) as facts:
        (text,) = facts.execute("SELECT fit FROM fits WHERE number = 1").fetchone()
        fit = json.loads(text)
        fit["intercept"] += 1e-3
        facts.execute("UPDATE fits SET fit = ? WHERE number = 1", [json.dumps(fit)])
    with pytest.raises(ReplayError, match="^round 1: the fit differs"):
        replay(tmp_path)
    with sqlite3.connect(path) as facts:
        facts.execute("UPDATE fits SET fit = ? WHERE number = 1", [text])
        facts.execute("UPDATE candidates SET seed = 1 WHERE iteration = 6")
    with pytest.raises(ReplayError, match="^round 0: the blocks to train in full"):
        replay(tmp_path)

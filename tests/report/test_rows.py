"""A search as rows and series, by hand; Q-values against a plain count."""

import math
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bqnn.agents.q import QState
from bqnn.config import Config
from bqnn.report.q_history import QHistory
from bqnn.report.rows import front, rows
from bqnn.report.series import hypervolumes, series
from bqnn.report.timing import Failure, failures, phases, spans
from bqnn.search import journal
from bqnn.search.fold import fold
from bqnn.search.history import History
from tests.helpers.hand_journal import HAND, by_hand
from tests.helpers.searches import problem_of, tiny_config

pytestmark = pytest.mark.quick_compilation


def _read(workdir: Path) -> tuple[History, dict[tuple[int, int, int], float]]:
    with journal.open_readonly(workdir) as facts:
        return facts.history(), facts.times()


def test_rows_are_what_the_journal_holds(tmp_path: Path) -> None:
    start = time.time()
    by_hand(tmp_path)
    history, times = _read(tmp_path)
    found = rows(problem_of(HAND), history, times)
    assert [row.status for row in found] == ["ok", "failed", "reused", "ok"]
    assert [row.accuracy for row in found] == [0.2, None, 0.2, 0.6]
    assert [row.reward for row in found] == pytest.approx([0.2, 0.1, 0.2, 0.6])
    assert [row.attempts for row in found] == [1, 2, 1, 1]
    # A second of preparation was hidden behind another's training.
    assert [row.seconds for row in found] == [3.0, 2.0, 0.0, 3.0]
    assert [row.layers for row in found] == [1, 2, 1, 2]
    # One convolution: input, layer, output; two edges.
    assert found[0].density == pytest.approx(2 / 3)
    assert found[1].error == "no luck"
    assert found[1].block == "1,1,3,0,0;2,2,3,1,0;3,7,0,0,0"
    assert all(start <= row.finished <= time.time() for row in found)


def test_series_sum_up_iterations(tmp_path: Path) -> None:
    by_hand(tmp_path)
    history, times = _read(tmp_path)
    first, second = series(history, rows(problem_of(HAND), history, times))
    assert (first.epsilon, first.evaluated, first.failed, first.reused) == (1, 2, 1, 0)
    spread = first.reward_mean, first.reward_low, first.reward_high
    assert spread == pytest.approx((0.15, 0.11, 0.19))
    spread = first.accuracy_mean, first.accuracy_low, first.accuracy_high
    assert spread == pytest.approx((0.2, 0.2, 0.2))
    assert (first.best_reward, first.length_mean) == (0.2, 1.5)
    spread = second.reward_mean, second.reward_low, second.reward_high
    assert spread == pytest.approx((0.4, 0.24, 0.56))
    assert (second.best_accuracy, second.reused) == (0.6, 0.5)


def test_time_and_failures_are_summed_up(tmp_path: Path) -> None:
    by_hand(tmp_path)
    history, times = _read(tmp_path)
    # The reused result took no time of its own.
    assert phases(history) == {"train": 8.0, "prepare": 2.0, "hidden": 2.0}
    found = spans(history, times)
    assert [(s.worker, s.status, s.attempt) for s in found] == [
        ("worker 1", "ok", 1),
        ("no worker named", "failed", 2),
        ("worker 1", "ok", 1),
    ]
    assert [s.end - s.start for s in found] == pytest.approx([3, 2, 3])
    assert failures(history) == [
        Failure("failed", 1, 0, [("no luck", 1)]),
        Failure("worker_lost", 0, 1, [("killed by signal 9", 1)]),
    ]


def test_the_front_holds_what_nothing_beats(tmp_path: Path) -> None:
    by_hand(tmp_path)
    history, times = _read(tmp_path)
    row = rows(problem_of(HAND), history, times)[0]
    pairs: list[tuple[int, float | None]]
    pairs = [(5, 0.5), (5, 0.6), (3, 0.2), (4, 0.2), (9, 0.6), (10, 0.7), (1, None)]
    found = [row._replace(flops=flops, accuracy=acc) for flops, acc in pairs]
    assert front(found, "flops") == [2, 1, 5]
    assert front([], "flops") == []
    batches = [0, 0, 0, 1, 1, 1, 1]
    later = zip(found, batches, strict=True)
    placed = [row._replace(iteration=batch) for row, batch in later]
    areas = hypervolumes(placed, "flops")
    # 0.2 from 3 to 5, then 0.6; 0.7 at the last limit, 10, alone.
    low, middle, high = math.log(3), math.log(5), math.log(10)
    expected = (0.2 * (middle - low) + 0.6 * (high - middle)) / (high - low)
    assert areas == pytest.approx([expected, expected])
    assert hypervolumes(placed[:2], "flops") == hypervolumes([], "flops") == []


def _final_state(config: Config, history: History) -> Any:
    events = fold(problem_of(config), history)
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value


def test_q_values_are_those_of_the_agent(searched: Path) -> None:
    work, (history, _) = problem_of(tiny_config()), _read(searched)
    q_history = QHistory(work)
    q_history.follow(history._replace(tells=history.tells[:2]))
    assert len(q_history.snapshots) == 2
    q_history.follow(history)
    assert len(q_history.snapshots) == 6
    assert not q_history.differs
    state, space = _final_state(tiny_config(), history).agent, work.space.arrays
    assert isinstance(state, QState)
    table, visits = np.asarray(state.q_values), Counter[tuple[int, int]]()
    values: dict[tuple[int, int], dict[tuple[int, int], float]] = {}
    for asked in history.asks:
        for candidate in asked.candidates:
            before = 0
            for t, action in enumerate(work.space.encode(candidate.block)):
                if action < 0:
                    break
                step = t, int(space.codes[t, action, 0]) - 1
                start = space.row_start[t] + before * space.num_actions[t]
                values.setdefault(step, {})[before, action] = table[start + action]
                visits[step] += 1
                before = action
    last = q_history.snapshots[-1]
    for step, seen in values.items():
        assert last.visits[step] == visits[step]
        assert last.values[step] == pytest.approx(np.mean(list(seen.values())))
    assert last.visits.sum() == visits.total()
    assert np.isnan(last.values).sum() == last.values.size - len(values)
    # The greedy block is the one that no other choice at any step beats.
    actions = work.space.encode(last.greedy)
    first = table[: space.num_actions[0]]
    assert first[actions[0]] == first.max()


def test_a_digest_that_differs_is_noticed(searched: Path) -> None:
    history, _ = _read(searched)
    q_history = QHistory(problem_of(tiny_config()))
    last = history.tells[-1]._replace(digest="another")
    q_history.follow(history._replace(tells=(*history.tells[:-1], last)))
    assert q_history.differs

"""Comparing agents: who, how often, how long, and what is said of it."""

import dataclasses
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from bqnn.compare import contenders
from bqnn.compare.comparison import Entry, SeedsDone, Store, compare
from bqnn.compare.evaluators import Front, TableEvaluator, TrainingEvaluator
from bqnn.compare.many_seeds import for_budget, search_seeds
from bqnn.compare.statistics import Optimum, Searches
from bqnn.compare.tabular import (
    FullTrainings,
    Result,
    TabularBenchmark,
    all_actions,
    make_benchmark,
)
from bqnn.config import Config, dictionary
from bqnn.data import load
from bqnn.errors import DataError
from bqnn.evaluation.records import repeated
from bqnn.search import journal, settled
from bqnn.search.calibration import FITTED, values_of
from bqnn.search.costs import log_cost
from bqnn.search.history import Run
from bqnn.search.master import search
from bqnn.search.problem import make_candidate
from bqnn.space import nsc
from bqnn.space.actions import NscSpace
from tests.helpers.searches import (
    SPEC,
    FullExecutor,
    RepeatingExecutor,
    TableExecutor,
    final_accuracy,
    problem_of,
    search_table,
    tabulated,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation

CONFIG = tiny_config(search={"batch": 4, "lag": 0})


LEARNED = tiny_config(
    search={"batch": 4, "lag": 0},
    train={"epochs": 2, "batch": 64},
    reward={"kind": "learned", "full_blocks": 7, "full_epochs": 5},
)


@functools.cache
def _benchmark() -> TabularBenchmark:
    """What `TableExecutor` evaluates, as a benchmark."""
    work = problem_of(CONFIG)

    def results() -> Iterator[Result]:
        for actions in all_actions(work.space.arrays):
            candidate = make_candidate(work, work.space.decode(actions))
            evaluation = tabulated(candidate)
            yield Result(work.reward(candidate, evaluation), evaluation.accuracy[-1])

    return make_benchmark(work.space.arrays, results())


def test_a_benchmark_knows_the_index_of_every_block() -> None:
    space = NscSpace(3).arrays
    blocks = list(all_actions(space))
    # 8 first layers; 18 second ones or the end; then 31 third ones, or the end.
    assert len(blocks) == 8 * (18 * 31 + 1)
    benchmark = make_benchmark(space, (Result(k, -k) for k in range(len(blocks))))
    indices = np.asarray(benchmark.index_of(jnp.asarray(np.stack(blocks))))
    assert len(set(indices.tolist())) == len(blocks)
    np.testing.assert_array_equal(benchmark.rewards[indices], np.arange(len(blocks)))
    np.testing.assert_array_equal(benchmark.actions_of(indices), np.stack(blocks))
    assert np.isneginf(benchmark.rewards).sum() == 8 * 19 * 31 - len(blocks)


def test_many_searches_at_once_are_the_launched_search(tmp_path: Path) -> None:
    config = dataclasses.replace(
        CONFIG, agent=dataclasses.replace(CONFIG.agent, name="q_plus")
    )
    benchmark, work = _benchmark(), problem_of(config)
    (found,) = search_seeds(benchmark, config.agent, batch=4, seeds=2)
    indices = found.indices
    with journal.create_or_open(tmp_path) as facts:
        facts.start(Run(config, SPEC, "none", {}))
        list(search(work, facts, TableExecutor()))
        events = list(settled.evaluated(work, facts.history()))
    rows = np.stack([work.space.encode(event.candidate.block) for event in events])
    np.testing.assert_array_equal(indices[0], benchmark.index_of(jnp.asarray(rows)))
    rewards = np.array([event.reward for event in events], np.float32)
    np.testing.assert_array_equal(found.rewards[0], rewards)


def test_many_searches_for_a_front_are_the_launched_search(tmp_path: Path) -> None:
    config = tiny_config(
        search={"batch": 4, "lag": 0},
        agent={"name": "evolution", "goal": "front", "evolution": {"population": 6}},
        reward={"kind": "accuracy", "cost": "params"},
    )
    work, told = problem_of(config), _benchmark()
    known = np.flatnonzero(np.isfinite(told.rewards))
    log_costs = np.full(len(told.rewards), np.nan, np.float32)
    for entry, row in zip(known, told.actions_of(known.astype(np.int32)), strict=True):
        candidate = make_candidate(work, work.space.decode(row))
        log_costs[entry] = log_cost("params", candidate)
    benchmark = told._replace(rewards=told.true_values, log_costs=log_costs)
    (found,) = search_seeds(benchmark, config.agent, batch=4, seeds=1)
    search_table(tmp_path, config)
    with journal.open_readonly(tmp_path) as facts:
        events = list(settled.evaluated(work, facts.history()))
    rows = np.stack([work.space.encode(event.candidate.block) for event in events])
    expected = benchmark.index_of(jnp.asarray(rows))
    np.testing.assert_array_equal(found.indices[0], expected)


def _with_full(benchmark: TabularBenchmark) -> TabularBenchmark:
    """What `FullExecutor` evaluates, as a benchmark."""
    work, size = problem_of(LEARNED), len(benchmark.rewards)
    known = np.flatnonzero(np.isfinite(benchmark.rewards))
    terms, final = np.full((size, len(FITTED)), np.nan), np.full(size, np.nan)
    actions = benchmark.actions_of(known.astype(np.int32))
    for entry, row in zip(known, actions, strict=True):
        candidate = make_candidate(work, work.space.decode(row))
        terms[entry] = values_of(FITTED, candidate, tabulated(candidate))
        final[entry] = final_accuracy(candidate)
    return benchmark._replace(
        rewards=benchmark.true_values, full=FullTrainings(terms, final, cost=2.5)
    )


def test_searches_at_once_learn_their_reward_as_a_launched_one(tmp_path: Path) -> None:
    evaluator = TableEvaluator(_with_full(_benchmark()), full_blocks=7)
    (agent,) = contenders.parse("q", LEARNED)
    (found,) = evaluator.run(agent, 24, 2)
    search_table(tmp_path, LEARNED, FullExecutor())
    with journal.open_readonly(tmp_path) as facts:
        history = facts.history()
    assert history.fit
    events = list(settled.evaluated(problem_of(LEARNED), history))
    rewards = np.array([event.reward for event in events], np.float32)
    np.testing.assert_array_equal(found.rewards[0], rewards)
    early = np.array([event.evaluation.accuracy[-1] for event in events], np.float32)
    np.testing.assert_array_equal(found.true_values[0], early)
    # Rounds of three and four blocks, after two and three batches.
    hashes = [event.candidate.hash for event in events]
    trained = np.array([len({*hashes[:n]}) for n in range(1, 25)], float)
    trained[7:] += 3 * 2.5
    trained[11:] += 4 * 2.5
    assert found.trained[0].tolist() == trained.tolist()


class _Counting:
    """An evaluator that says how often it was asked."""

    optimum: Optimum | None = None
    front: Front | None = None
    timed = False
    full_cost: float | None = None

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def run(self, contender: Any, budget: int, seeds: int) -> Iterator[Searches]:
        """Give a row per seed."""
        self.asked.append((contender.label, budget))
        for seed in range(seeds):
            yield Searches(*np.full((5, 1, budget), seed / 2))


def test_a_comparison_goes_on_where_it_stopped(tmp_path: Path) -> None:
    agents, evaluator = contenders.parse("q,random", CONFIG), _Counting()
    events = list(compare(agents, [2, 3], 4, evaluator, Store(tmp_path, "a")))
    entries = [event for event in events if isinstance(event, Entry)]
    assert [e.done for e in events[:4] if isinstance(e, SeedsDone)] == [1, 2, 3, 4]
    assert [entry.searches.rewards.shape for entry in entries] == [(4, 2)] * 2 + [
        (4, 3)
    ] * 2
    more = contenders.parse("q,random,evolution", CONFIG)
    list(compare(more, [2, 3], 4, evaluator, Store(tmp_path, "a")))
    assert evaluator.asked[4:] == [("evolution", 2), ("evolution", 3)]
    # In another setting, nothing is known.
    list(compare(agents, [2], 4, evaluator, Store(tmp_path, "b")))
    assert len(evaluator.asked) == 8
    next(tmp_path.glob("q-2-*.npz")).write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"npz is damaged: delete it"):
        for setting in ("a", "b"):
            list(compare(agents, [2], 4, evaluator, Store(tmp_path, setting)))


def test_training_searches_are_journaled_and_go_on(tmp_path: Path) -> None:
    dataset, executor = load(CONFIG.data), TableExecutor()
    evaluator = TrainingEvaluator(CONFIG, dataset, executor, tmp_path, lambda: False)
    (agent,) = contenders.parse("random(batch=3)", CONFIG)
    runs = list(evaluator.run(agent, 7, 2))
    assert [part.rewards.shape for part in runs] == [(1, 7)] * 2
    trained = len(executor.attempts)
    again = list(evaluator.run(agent, 7, 2))
    assert len(executor.attempts) == trained
    np.testing.assert_array_equal(again[1].rewards, runs[1].rewards)
    # A twin of a block that was trained costs nothing.
    hashes = [attempt.hash for attempt in executor.attempts]
    assert runs[0].trained[0, -1] + runs[1].trained[0, -1] <= len(hashes)
    with journal.open_readonly(tmp_path / "random(batch=3)-7" / "1") as facts:
        run = facts.run()
    assert (run.config.search.seed, run.config.search.batch) == (1, 3)


def test_training_searches_count_what_they_train_in_full(tmp_path: Path) -> None:
    dataset, executor = load(LEARNED.data), FullExecutor()
    evaluator = TrainingEvaluator(LEARNED, dataset, executor, tmp_path, lambda: False)
    (agent,) = contenders.parse("random", LEARNED)
    (found,) = evaluator.run(agent, 24, 1)
    in_full = sum(candidate.epochs == 5 for candidate in executor.attempts)
    assert in_full == 7
    early = len(executor.attempts) - in_full
    assert found.trained[0, -1] == early + in_full * 5 / 2


def test_trainings_that_are_repeated_count_each(tmp_path: Path) -> None:
    config = tiny_config(search={"batch": 4}, train={"epochs": 2, "repeats": 3})
    dataset, executor = load(config.data), RepeatingExecutor()
    evaluator = TrainingEvaluator(config, dataset, executor, tmp_path, lambda: False)
    (agent,) = contenders.parse("random", config)
    (found,) = evaluator.run(agent, 16, 1)
    asked = executor.attempts
    again = [c for c in asked if repeated(c, tabulated(c).accuracy)]
    assert 0 < len(again) < len(asked)
    assert found.trained[0, -1] == len(asked) + 2 * len(again)


def test_searches_of_a_comparison_train_a_block_once(tmp_path: Path) -> None:
    # As many epochs as the executor has accuracies; one seed for all trainings.
    train = {"epochs": 2, "batch": 64, "seed": 0}
    config = tiny_config(search={"batch": 4}, train=train)
    dataset, executor = load(config.data), TableExecutor()
    evaluator = TrainingEvaluator(
        config, dataset, executor, tmp_path / "runs", lambda: False, tmp_path / "store"
    )
    for agent in contenders.parse("random, evolution", config):
        list(evaluator.run(agent, 12, 3))
    hashes = [candidate.hash for candidate in executor.attempts]
    assert len(set(hashes)) == len(hashes) < 60
    assert not evaluator.timed


def _asked_hashes(
    contender: contenders.Contender, benchmark: TabularBenchmark
) -> list[str]:
    """The canonical hashes of what the search with seed 0 asks."""
    agent, batch = for_budget(contender.agent, 6, contender.batch), contender.batch
    (found,) = search_seeds(benchmark, agent, batch, seeds=1)
    space = problem_of(CONFIG).space
    blocks = map(space.decode, benchmark.actions_of(found.indices[0]))
    return [nsc.canonical_hash(block, CONFIG.network.width) for block in blocks]


def test_what_a_table_evaluator_knows() -> None:
    benchmark = _benchmark()
    evaluator = TableEvaluator(benchmark)
    assert evaluator.optimum is not None
    finite = np.sort(benchmark.rewards[np.isfinite(benchmark.rewards)])
    assert evaluator.optimum.reward == finite[-1]
    target = evaluator.optimum.target
    assert target is not None and (finite >= target).mean() <= 0.0015
    (agent,) = contenders.parse("random", CONFIG)
    parts = list(evaluator.run(agent, 6, 30))
    assert [part.rewards.shape for part in parts] == [(25, 6), (5, 6)]
    # Blocks of one layer that pass their input on, and twins of others, are known.
    hashes = _asked_hashes(agent, benchmark)
    assert parts[0].trained[0].tolist() == [len({*hashes[:n]}) for n in range(1, 7)]


def test_configurations_differ_field_by_field() -> None:
    other = json.loads(json.dumps(dictionary.to_dict(CONFIG)))
    other["agent"]["q_plus"]["alpha"] = 0.125
    changed = dictionary.from_dict(other, Config)
    differences = list(dictionary.differences(CONFIG, changed))
    old = CONFIG.agent.q_plus.alpha
    assert differences == [f"agent.q_plus.alpha: {old} -> 0.125"]

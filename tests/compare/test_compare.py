"""Comparing agents: who, how often, how long, and what is said of it."""

import csv
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from bqnn.compare import contenders
from bqnn.compare.comparison import Entry, SeedsDone, Store, compare
from bqnn.compare.csv_benchmarks import read_oracle
from bqnn.compare.evaluators import TableEvaluator, TrainingEvaluator
from bqnn.compare.many_seeds import for_budget, search_seeds
from bqnn.compare.oracle import canonical_blocks, train_blocks
from bqnn.compare.statistics import (
    Optimum,
    Searches,
    best_so_far,
    evaluations_to,
    found,
    summarize,
)
from bqnn.compare.tabular import TabularBenchmark, all_actions, make_benchmark
from bqnn.config import AgentConfig, Config, dictionary
from bqnn.data import load
from bqnn.errors import ConfigError, DataError, SearchError
from bqnn.evaluation.records import Status
from bqnn.search import fold, journal
from bqnn.search.history import Run
from bqnn.search.master import search
from bqnn.search.problem import make_candidate
from bqnn.space.actions import NscSpace
from bqnn.space.nsc import canonical_hash, parse
from bqnn.stats import mean
from launch.configs import rivals
from tests.helpers.paths import ASSETS
from tests.helpers.searches import (
    SPEC,
    TableExecutor,
    problem_of,
    tabulated,
    tiny_config,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")

ORACLE = ASSETS / "oracle.csv"
CONFIG = tiny_config(search={"batch": 4, "lag": 0})


def _benchmark() -> TabularBenchmark:
    """What `TableExecutor` evaluates, as a benchmark."""
    work = problem_of(CONFIG)

    def results() -> Iterator[tuple[float, float]]:
        for actions in all_actions(work.space.arrays):
            candidate = make_candidate(work, work.space.decode(actions))
            evaluation = tabulated(candidate)
            yield work.reward(candidate, evaluation), evaluation.accuracy[-1]

    return make_benchmark(work.space.arrays, results())


def test_contenders_are_written_as_calls() -> None:
    text = (
        "q, q(shaped=False, schedule='1.0:1,0.1:4', batch=2), q_plus(alpha=1), random"
    )
    found = contenders.parse(text, CONFIG)
    assert [c.label for c in found] == [
        "q",
        "q(shaped=False, schedule=1.0:1,0.1:4, batch=2)",
        "q_plus(alpha=1)",
        "random",
    ]
    assert [c.agent.name for c in found] == ["q", "q", "q_plus", "random"]
    assert [c.batch for c in found] == [4, 2, 4, 4]
    assert [c.agent.shaped for c in found] == [True, False, True, True]
    assert found[1].agent.schedule == "1.0:1,0.1:4"
    assert found[2].agent.q_plus.alpha == 1.0
    assert found[0].agent == CONFIG.agent
    (evolution,) = contenders.parse("evolution(population=7)", CONFIG)
    assert evolution.agent.evolution.population == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "want names and fields"),
        ("q(", "want names and fields"),
        ("q(3)", "want names and fields"),
        ("q(alpha=open('x'))", "want names and fields"),
        ("sarsa", "no agent 'sarsa', only q, random, q_plus, evolution"),
        ("q(alpha=7)", "agent.alpha is 7.0"),
        ("q(beta=7)", "unknown configuration field agent.beta"),
        ("evolution(alpha=1)", "unknown configuration field agent.evolution.alpha"),
        ("q(batch=0)", "batch is 0: want a number from 1"),
        ("q,q", "q is there twice"),
    ],
)
def test_contenders_that_make_no_sense_get_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        contenders.parse(text, CONFIG)


def test_a_schedule_is_stretched_over_the_budget() -> None:
    agent = AgentConfig(schedule="1.0:5,0.5:3,0.1:2")
    assert for_budget(agent, 40, 4).schedule == "1.0:5,0.5:3,0.1:2"
    assert for_budget(agent, 78, 4).schedule == "1.0:10,0.5:6,0.1:4"
    assert for_budget(agent, 10, 4).schedule == "1.0:2,0.5:1"


SEARCHES = Searches(
    rewards=np.array([[0.2, 0.5, 0.5, 0.4], [0.3, 0.1, 0.2, 0.6]]),
    true_values=np.array([[0.9, 0.7, 0.8, 0.1], [0.4, 0.5, 0.6, 0.3]]),
)


def test_the_first_best_counts_and_its_true_worth_may_fall() -> None:
    expected = [[0.9, 0.7, 0.7, 0.7], [0.4, 0.4, 0.4, 0.3]]
    np.testing.assert_array_equal(best_so_far(SEARCHES), expected)


def test_evaluations_to_a_target_by_hand() -> None:
    assert evaluations_to(SEARCHES.rewards, 0.5).tolist() == [2, 4]
    assert evaluations_to(SEARCHES.rewards, 0.55).tolist() == [np.inf, 4]
    assert found(SEARCHES, 0.6).tolist() == [0, 0, 0, 0.5]


def test_the_bootstrap_interval_of_a_normal_mean() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    average, (low, high) = mean(values)
    assert average == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert high - average == pytest.approx(half, rel=0.1)
    assert average - low == pytest.approx(half, rel=0.1)
    lows = mean(np.stack([values, 2 * values], axis=1)).interval.low
    np.testing.assert_allclose(lows[1], 2 * lows[0])


def test_a_summary_by_hand() -> None:
    row = summarize("q", 4, SEARCHES, Optimum(0.6, 0.95, 0.55), target=0.55)
    assert row.true_value.value == pytest.approx(0.5)
    assert row.regret == pytest.approx(0.45)
    assert (row.needed, row.reached, row.found) == (np.inf, 0.5, 0.5)
    unknown = summarize("q", 4, SEARCHES, None, None)
    assert (unknown.regret, unknown.needed, unknown.found) == (None, None, None)


def test_a_benchmark_knows_the_index_of_every_block() -> None:
    space = NscSpace(3).arrays
    blocks = list(all_actions(space))
    # 8 first layers; 18 second ones or the end; then 31 third ones, or the end.
    assert len(blocks) == 8 * (18 * 31 + 1)
    benchmark = make_benchmark(space, ((k, -k) for k in range(len(blocks))))
    indices = np.asarray(benchmark.index_of(jnp.asarray(np.stack(blocks))))
    assert len(set(indices.tolist())) == len(blocks)
    np.testing.assert_array_equal(benchmark.rewards[indices], np.arange(len(blocks)))
    assert np.isneginf(benchmark.rewards).sum() == 8 * 19 * 31 - len(blocks)


@pytest.mark.parametrize("name", ["q_plus", "evolution"])
def test_many_searches_at_once_are_the_launched_search(
    name: str, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        CONFIG, agent=dataclasses.replace(CONFIG.agent, name=name)
    )
    benchmark, work = _benchmark(), problem_of(config)
    (indices,) = search_seeds(benchmark, config.agent, batch=4, seeds=2)
    with journal.create_or_open(tmp_path) as facts:
        facts.start(Run(config, SPEC, "none", {}))
        list(search(work, facts, TableExecutor()))
        events = list(fold.evaluated(work, facts.history()))
    rows = np.stack([work.space.encode(event.candidate.block) for event in events])
    np.testing.assert_array_equal(indices[0], benchmark.index_of(jnp.asarray(rows)))
    rewards = np.array([event.reward for event in events], np.float32)
    np.testing.assert_array_equal(benchmark.rewards[indices[0]], rewards)


class _Counting:
    """An evaluator that says how often it was asked."""

    optimum: Optimum | None = None

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def run(self, contender: Any, budget: int, seeds: int) -> Iterator[Searches]:
        """Give a row per seed."""
        self.asked.append((contender.label, budget))
        for seed in range(seeds):
            yield Searches(np.full((1, budget), seed), np.full((1, budget), seed / 2))


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
    with journal.open_readonly(tmp_path / "random(batch=3)-7" / "1") as facts:
        run = facts.run()
    assert (run.config.search.seed, run.config.search.batch) == (1, 3)


def test_an_oracle_has_one_row_for_all_ways_to_write_a_block(tmp_path: Path) -> None:
    config = tiny_config(space={"max_layers": 2})
    blocks = canonical_blocks(config, SPEC)
    assert len({canonical_hash(block) for block in blocks}) == len(blocks)
    table = dict(train_blocks(blocks, config, SPEC, 2, TableExecutor()))
    assert table.keys() == set(blocks)
    path = tmp_path / "oracle.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["block", "accuracy_0", "accuracy_1"])
        rows.writerows([str(block), *pair] for block, pair in table.items())
    benchmark = read_oracle(path, config, SPEC)
    work = problem_of(config)
    for actions in all_actions(work.space.arrays):
        candidate = make_candidate(work, work.space.decode(actions))
        index = int(benchmark.index_of(jnp.asarray(actions[None]))[0])
        expected = work.reward(candidate, tabulated(candidate))
        assert benchmark.rewards[index] == pytest.approx(expected)
    with pytest.raises(DataError, match="up to 2 layers, this space has up to 6: want"):
        read_oracle(path, tiny_config(space={"max_layers": 6}), SPEC)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *lines[2:]]))
    with pytest.raises(DataError, match="has no row for 1,1,1,0,0;2,.*: want every"):
        read_oracle(path, config, SPEC)


def test_the_oracle_that_ships_is_exact() -> None:
    values = rivals.get_config().to_dict()
    values["space"]["max_layers"] = 3
    benchmark = read_oracle(ORACLE, dictionary.from_dict(values, Config), SPEC)
    known = np.isfinite(benchmark.rewards)
    assert known.sum() == 8 * (18 * 31 + 1)
    assert len(ORACLE.read_text().splitlines()) == 1 + 894
    # Two convolutions side by side and their sum.
    best = NscSpace(3).encode(parse("1,1,5,0,0;2,1,5,0,0;3,5,0,1,2"))
    index = int(benchmark.index_of(jnp.asarray(best[None]))[0])
    assert benchmark.true_values[index] == benchmark.true_values[known].max()
    assert benchmark.true_values[index] == pytest.approx(0.900463)


def test_an_oracle_without_an_accuracy_is_refused() -> None:
    executor = TableExecutor(faults={1: Status.FAILED})
    config = tiny_config(space={"max_layers": 1})
    blocks = canonical_blocks(config, SPEC)
    with pytest.raises(SearchError, match="failed, failed on purpose"):
        list(train_blocks(blocks, config, SPEC, 1, executor))


def test_what_a_table_evaluator_knows() -> None:
    benchmark = _benchmark()
    evaluator = TableEvaluator(benchmark)
    assert evaluator.optimum is not None
    finite = np.sort(benchmark.rewards[np.isfinite(benchmark.rewards)])
    assert evaluator.optimum.reward == finite[-1]
    assert (finite >= evaluator.optimum.target).mean() <= 0.0015
    (agent,) = contenders.parse("random", CONFIG)
    parts = list(evaluator.run(agent, 6, 30))
    assert [part.rewards.shape for part in parts] == [(25, 6), (5, 6)]


def test_configurations_differ_field_by_field() -> None:
    other = json.loads(json.dumps(dictionary.to_dict(CONFIG)))
    other["agent"]["q_plus"]["alpha"] = 0.125
    changed = dictionary.from_dict(other, Config)
    differences = list(dictionary.differences(CONFIG, changed))
    old = CONFIG.agent.q_plus.alpha
    assert differences == [f"agent.q_plus.alpha: {old} -> 0.125"]

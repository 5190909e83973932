"""Latencies in a search: facts of its candidates, and a limit."""

import sqlite3
from pathlib import Path

import pytest

import bqnn
from bqnn.config import BudgetConfig, Config
from bqnn.engines.units import space_signatures
from bqnn.errors import ConfigError, DataError, JournalError
from bqnn.evaluation.evaluate import evaluate
from bqnn.evaluation.records import Evaluation, Status
from bqnn.latency import table
from bqnn.latency.table import LatencyTable, UnitLatency, unit_name
from bqnn.networks.plan import plan
from bqnn.search import journal
from bqnn.search.problem import check_latencies, make_candidate, make_problem
from bqnn.space.nsc import parse
from tests.helpers.searches import (
    SPEC,
    digests_of,
    evaluated,
    problem_of,
    replay,
    search_table,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation


def _with_table(folder: Path, ms: float = 1.0, **budget: float) -> Config:
    """Make a configuration with a table in which every unit takes `ms`."""
    config, path = tiny_config(), folder / "latency.csv"
    signatures = space_signatures(config.space, config.network, SPEC)
    units = {unit_name(s): UnitLatency(ms, ms, ms) for s in signatures}
    table.write(LatencyTable("a device", units, offset=0.5), path)
    return tiny_config(budget={"latency_table": str(path), **budget})


def test_a_candidate_knows_its_latency(tmp_path: Path) -> None:
    problem = make_problem(_with_table(tmp_path), SPEC)
    block = parse("1,1,3,0,0;2,4,0,1,0;3,1,3,2,0")
    # Stem, two convolutions and head; the identity vanishes.
    assert make_candidate(problem, block).latency == 4_500_000
    assert make_candidate(problem_of(tiny_config()), block).latency is None


def test_latencies_are_facts_that_outlive_the_table(tmp_path: Path) -> None:
    config = _with_table(tmp_path)
    events = search_table(tmp_path / "run", config)
    latencies = read_table(config)
    for event in evaluated(events):
        network = plan(event.candidate.block, config.network, SPEC)
        assert event.candidate.latency == round(1e6 * latencies.of(network))
    (tmp_path / "latency.csv").unlink()
    assert digests_of(replay(tmp_path / "run")) == digests_of(events)
    found = {event.candidate for event in evaluated(replay(tmp_path / "run"))}
    assert found == {event.candidate for event in evaluated(events)}


def test_draws_are_facts_that_outlive_the_table(tmp_path: Path) -> None:
    config = _with_table(tmp_path, max_latency=4.0)
    events = search_table(tmp_path / "run", config)
    asked = [event.candidate for event in evaluated(events)]
    assert all((candidate.latency or 0) <= 4_000_000 for candidate in asked)
    assert any(candidate.draw > 0 for candidate in asked)
    (tmp_path / "latency.csv").unlink()
    assert digests_of(replay(tmp_path / "run")) == digests_of(events)


def read_table(config: Config) -> LatencyTable:
    """Read the table of a configuration."""
    assert config.budget.latency_table
    return table.read(Path(config.budget.latency_table))


def test_what_is_too_slow_is_not_trained(tmp_path: Path) -> None:
    config = _with_table(tmp_path, max_latency=4.0)
    problem = make_problem(config, SPEC)
    slow = make_candidate(problem, parse("1,1,3,0,0;2,1,3,1,0"))
    result = evaluate(slow, config)
    assert result.status == Status.OVER_BUDGET
    assert result.error == "max_latency 4.5 over 4.0"


def test_a_search_goes_on_with_the_table_that_it_began_with(tmp_path: Path) -> None:
    config, run = _with_table(tmp_path), tmp_path / "run"
    search_table(run, config, stop_after=9)
    with journal.open_readonly(run) as facts:
        asked = facts.history().asks[0].candidates
    check_latencies(make_problem(config, SPEC), asked)
    _with_table(tmp_path, ms=2.0)
    with pytest.raises(DataError, match="want the table that the search began with"):
        check_latencies(make_problem(config, SPEC), asked)
    with sqlite3.connect(run / journal.FILE_NAME) as connection:
        connection.execute("UPDATE candidates SET latency = '\"fast\"'")
    with pytest.raises(JournalError, match="column latency"):
        replay(run)


def test_a_table_that_cannot_be_read_begins_no_journal(tmp_path: Path) -> None:
    config, run = _with_table(tmp_path), tmp_path / "run"
    (tmp_path / "latency.csv").unlink()
    with pytest.raises(DataError, match="No such file"):
        bqnn.run(config, run, lambda block: 0.5, images=SPEC)
    with journal.open_readonly(run) as facts:
        assert not facts.began()


def test_a_reward_holds_networks_to_a_latency(tmp_path: Path) -> None:
    plain = {"kind": "accuracy", "cost": "latency", "target": 4_500_000}
    reward = {**plain, "below": 0.0, "above": -1.0}
    budget = _with_table(tmp_path).budget
    config = tiny_config(budget={"latency_table": budget.latency_table}, reward=reward)
    problem = make_problem(config, SPEC)
    two, seven = (
        make_candidate(problem, parse(text))
        for text in (
            "1,1,3,0,0;2,1,3,1,0",
            ";".join(f"{n},1,3,{n - 1},0" for n in range(1, 8)),
        )
    )
    found = Evaluation(Status.OK, (0.5, 0.8))
    assert problem.reward(two, found) == 0.8
    # Nine and a half milliseconds instead of four and a half.
    assert problem.reward(seven, found) == pytest.approx(0.8 * 4.5 / 9.5)


def test_a_limit_needs_a_table() -> None:
    with pytest.raises(ConfigError, match="want budget.latency_table=FILE"):
        BudgetConfig(max_latency=1.0)
    with pytest.raises(ConfigError, match="reward.cost is 'latency': want budget"):
        tiny_config(reward={"cost": "latency"})

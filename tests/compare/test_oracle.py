"""Oracles: a table of every block of a space, and the benchmark read from it."""

import csv
import time
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from bqnn.compare.csv_benchmarks import read_oracle
from bqnn.compare.oracle import (
    CPU,
    TimedWorker,
    canonical_blocks,
    train_blocks,
)
from bqnn.compare.tabular import all_actions
from bqnn.config import Config, dictionary
from bqnn.engines.progress import WarmUpProgress
from bqnn.errors import DataError, SearchError
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.search.problem import make_candidate
from bqnn.space.actions import NscSpace
from bqnn.space.nsc import canonical_hash, parse
from launch.configs import rivals
from tests.helpers.paths import ASSETS
from tests.helpers.searches import (
    SPEC,
    TableExecutor,
    problem_of,
    tabulated,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation


ORACLE = ASSETS / "oracle.csv"


class _Spinning:
    """A worker that computes for a while."""

    pipelined, seconds = False, 0.05

    def warm_up(self) -> Iterator[WarmUpProgress]:
        return iter(())

    def run(self, candidate: Candidate, *_: object) -> Evaluation:
        start = time.process_time()
        while time.process_time() - start < self.seconds:
            pass
        return Evaluation(Status.OK, (0.5,), seconds={"train": 7.0})


def test_an_oracle_has_one_row_for_all_ways_to_write_a_block(tmp_path: Path) -> None:
    config = tiny_config(space={"max_layers": 2})
    blocks = canonical_blocks(config, SPEC)
    assert len({canonical_hash(block) for block in blocks}) == len(blocks)
    table = {
        str(candidate.block): [evaluation.accuracy[-1] for evaluation in evaluations]
        for candidate, evaluations in train_blocks(
            blocks, config, SPEC, 2, TableExecutor()
        )
    }
    assert list(table) == [str(block) for block in blocks]
    path = tmp_path / "oracle.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["block", "accuracy_0", "accuracy_1"])
        rows.writerows([block, *pair] for block, pair in table.items())
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
    path.write_text("\n".join(lines[:-1]))
    with pytest.raises(DataError, match="has no row for .*: want every .* or another"):
        read_oracle(path, config, SPEC)
    # Of the smaller space, the table still has every block.
    smaller = read_oracle(path, tiny_config(space={"max_layers": 1}), SPEC)
    assert np.isfinite(smaller.rewards).all() and len(smaller.rewards) == 8


def test_few_layers_come_first_and_nothing_is_written_longer_than_needed() -> None:
    one, two, three = (
        canonical_blocks(tiny_config(space={"max_layers": n}), SPEC) for n in (1, 2, 3)
    )
    assert len(one) == 6 and len(three) == 894
    assert two[: len(one)] == one and three[: len(two)] == two
    assert [len(block) for block in three] == sorted(map(len, three))
    hashes = [canonical_hash(block) for block in three[len(two) :]]
    assert hashes == sorted(hashes)


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


def test_cpu_seconds_are_measured_of_every_training() -> None:
    worker = TimedWorker(_Spinning())
    evaluation = worker.run(
        make_candidate(problem_of(tiny_config()), parse("1,4,0,0,0"))
    )
    assert evaluation.accuracy == (0.5,)
    assert evaluation.seconds["train"] == 7.0
    assert evaluation.seconds[CPU] >= _Spinning.seconds


def test_an_oracle_without_an_accuracy_is_refused() -> None:
    executor = TableExecutor(faults={1: Status.FAILED})
    config = tiny_config(space={"max_layers": 1})
    blocks = canonical_blocks(config, SPEC)
    with pytest.raises(SearchError, match="failed, failed on purpose"):
        list(train_blocks(blocks, config, SPEC, 1, executor))

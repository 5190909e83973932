"""Choosing among the best blocks of a search by training them in full."""

import dataclasses
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bqnn.choice import Choice, select
from bqnn.config import Config
from bqnn.data import load
from bqnn.errors import ConfigError, SearchError
from bqnn.evaluation.records import Evaluation, Status
from bqnn.executors.executor import MakeWorker, Options
from bqnn.executors.inline import InlineExecutor
from bqnn.final import selection
from bqnn.final.config import FinalConfig, FinalDataConfig, RecipeConfig
from bqnn.final.selection import Trained
from bqnn.final.workdir import read_result, read_run
from bqnn.final.worker import final_workers
from bqnn.search import journal
from bqnn.search.events import Evaluated
from bqnn.search.history import Run
from bqnn.search.master import search
from bqnn.search.settled import evaluated
from bqnn.stats import correlation, difference
from tests.helpers.networks import small
from tests.helpers.searches import (
    SPEC,
    GrowingExecutor,
    TableExecutor,
    problem_of,
    search_table,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation

Best = tuple[Evaluated, ...]

FINAL = FinalConfig(
    FinalDataConfig("digits", validation=0.2),
    small(widths=(4,)),
    RecipeConfig(epochs=1, batch=64, learning_rate=0.01, threads=1),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work directory of a search."""
    workdir, config = tmp_path_factory.mktemp("search"), tiny_config()
    with journal.create_or_open(workdir) as facts:
        facts.start(Run(config, SPEC, "none", {}))
        list(search(problem_of(config), facts, TableExecutor()))
    return workdir


@pytest.fixture(scope="module")
def best(found: Path) -> Best:
    """Its best candidates."""
    return selection.best_of(found, 8)


def test_the_best_are_sorted_by_reward_and_differ(found: Path, best: Best) -> None:
    rewards = [event.reward for event in best]
    assert rewards == sorted(rewards, reverse=True)
    assert len({event.candidate.hash for event in best}) == 8
    with pytest.raises(SearchError, match=r"rank 999 was asked for, but only \d+ diff"):
        selection.best_of(found, 999)


def test_blocks_are_trained_in_their_folders_and_never_tested(
    best: Best, tmp_path: Path
) -> None:
    config = selection.worker_config(FINAL)
    tasks = selection.rank_tasks(best[:2], FINAL, tmp_path)
    options = Options(make_worker=final_workers(tasks))
    executor = InlineExecutor(config, options)
    list(executor.start(load(config.data)))
    trained = list(selection.train_all(best[:2], executor))
    assert [t.rank for t in trained] == [1, 2]
    for result in trained:
        folder = selection.rank_folder(tmp_path, result.rank)
        assert result.evaluation.status == Status.OK, result.evaluation.error
        assert read_run(folder).block == result.found.candidate.block
        outcome = read_result(folder)
        assert outcome and outcome["test"] is None
        assert [result.accuracy] == [
            row["validation_accuracy"] for row in outcome["history"]
        ]


def test_the_winner_is_trained_on_all_images_and_tested_once(
    found: Path, tmp_path: Path
) -> None:
    def start(config: Config, make_worker: MakeWorker) -> InlineExecutor:
        return InlineExecutor(config, Options(make_worker=make_worker))

    printed = io.StringIO()
    console = Console(width=200, file=printed)
    best = selection.best_of(found, 2)
    asked = Choice(FINAL, found, best, tmp_path, retrain=True)
    winner = select(asked, start, console)
    results = {path: path.read_text() for path in tmp_path.glob("*/result.json")}
    assert len(results) == 3
    assert select(asked, start, console) == winner
    assert {path: path.read_text() for path in results} == results
    ranked = json.loads((tmp_path / "selection.json").read_text())["blocks"]
    run, result = read_run(tmp_path / "winner"), read_result(tmp_path / "winner")
    assert str(run.block) == ranked[0]["block"] == str(winner.candidate.block)
    assert (winner.number + 1, winner.accuracy) == (
        ranked[0]["rank"],
        ranked[0]["accuracy"],
    )
    assert run.config == dataclasses.replace(
        FINAL, data=dataclasses.replace(FINAL.data, validation=0.0)
    )
    assert result and result["test"]["accuracy"] > 0
    assert "validation_accuracy" not in result["history"][0]
    assert (
        printed.getvalue().count(
            f"read once: accuracy {result['test']['accuracy']:.2%}"
        )
        == 2
    )


def test_a_block_that_diverges_does_not_stop_the_others(
    best: Best, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(FINAL.train, learning_rate=1e6)
    final = dataclasses.replace(FINAL, train=recipe)
    config = selection.worker_config(final)
    tasks = selection.rank_tasks(best[:1], final, tmp_path)
    executor = InlineExecutor(config, Options(make_worker=final_workers(tasks)))
    list(executor.start(load(config.data)))
    (trained,) = selection.train_all(best[:1], executor)
    assert trained.evaluation.status == Status.DIVERGED
    assert "training has diverged" in trained.evaluation.error
    assert trained.accuracy is None


def test_lost_workers_are_replaced_and_failures_are_told(best: Best) -> None:
    faults = {0: Status.WORKER_LOST, 1: Status.FAILED}
    trained = list(selection.train_all(best[:3], TableExecutor(faults=faults)))
    assert [t.rank for t in trained] == [2, 3, 1]
    assert [t.accuracy is None for t in trained] == [True, False, False]
    assert [t.rank for t in selection.by_accuracy(trained)][-1] == 2


def _trained(found: Evaluated, rank: int, early: float, final: float) -> Trained:
    early_evaluation = Evaluation(Status.OK, accuracy=(early,))
    event = found._replace(evaluation=early_evaluation, reward=-float(rank))
    return Trained(rank, event, Evaluation(Status.OK, accuracy=(0.1, final)))


def test_rank_correlations_worked_by_hand(best: Best) -> None:
    # Final ranks 1 3 2 4; by reward 1 2 3 4, by early accuracy 4 3 2 1.
    finals, earlies = (0.9, 0.7, 0.8, 0.6), (0.1, 0.2, 0.3, 0.4)
    trained = [
        _trained(best[0], rank, early, final)
        for rank, (early, final) in enumerate(zip(earlies, finals, strict=True), 1)
    ]
    correlations = selection.correlations(trained)
    assert correlations
    # 1 - 6 * (0 + 1 + 1 + 0) / (4 * 15), and (5 - 1) / 6 pairs.
    measures = correlations.by_measure
    assert measures["reward"][:2] == pytest.approx((0.8, 2 / 3))
    assert measures["accuracy"][:2] == pytest.approx((-0.8, -2 / 3))
    assert correlations.gain.low < 1.6 < correlations.gain.high
    assert selection.correlations(trained[:2]) is None
    assert [t.rank for t in selection.by_accuracy(trained)] == [1, 3, 2, 4]


def test_the_interval_of_a_rank_correlation() -> None:
    rng = np.random.default_rng(0)
    final = rng.normal(size=200)
    noisy, noise = final + rng.normal(size=200), rng.normal(size=200)
    found = correlation(noisy.tolist(), final.tolist())
    # Of normal values with correlation r: 6 / pi asin(r / 2), r = 1 / sqrt(2).
    assert found.interval.low < 0.69 < found.interval.high
    assert 0.05 < found.spearman - found.interval.low < 0.15
    gain = difference(noisy.tolist(), noise.tolist(), final.tolist())
    assert gain.low > 0.4
    low, high = difference(noise.tolist(), noise.tolist(), final.tolist())
    assert low == high == 0


def test_without_a_validation_part_there_is_no_ranking() -> None:
    data = dataclasses.replace(FINAL.data, validation=0.0)
    with pytest.raises(ConfigError, match=r"set data.validation"):
        selection.worker_config(dataclasses.replace(FINAL, data=data))


def test_the_front_of_a_search_is_read_by_hand(tmp_path: Path) -> None:
    config = tiny_config()
    search_table(tmp_path, config, GrowingExecutor())
    front = selection.read_front(tmp_path, ["params"])
    costs = [event.candidate.network_params for event in front.found]
    accuracies = [event.evaluation.accuracy[-1] for event in front.found]
    assert costs == sorted({*costs}) and accuracies == sorted({*accuracies})
    with journal.open_readonly(tmp_path) as facts:
        events = list(evaluated(problem_of(config), facts.history()))
    for event in events:
        within = [
            a
            for a, c in zip(accuracies, costs, strict=True)
            if c <= event.candidate.network_params
        ]
        assert max(within) >= event.evaluation.accuracy[-1]
    least = math.log(min(event.candidate.network_params for event in events))
    assert (front.costs, front.low) == (("params",), (least,))
    # No more than the largest accuracy, no less than the least, within all limits.
    assert accuracies[0] < front.hypervolume < accuracies[-1]
    assert selection.read_front(tmp_path).costs == ("flops",)
    limited = selection.read_front(tmp_path, ["params"], [costs[1]])
    assert limited.found == front.found[:2]
    with pytest.raises(
        SearchError, match=f"9 params or less: the least is {costs[0]:,}"
    ):
        selection.read_front(tmp_path, ["params"], [9])
    two = selection.read_front(tmp_path, ["params", "flops"])
    # The blocks by one cost are among them; within both limits there is less.
    assert all(event in two.found for event in front.found)
    assert two.best == front.found[-1] and two.hypervolume < front.hypervolume
    one = two.found[1]
    limits = one.candidate.network_params, one.candidate.network_flops
    cheap = selection.read_front(tmp_path, ["params", "flops"], limits)
    assert one in cheap.found and len(cheap.found) < len(two.found)
    with pytest.raises(SearchError, match=r"no block has 9 params and 8 flops or less"):
        selection.read_front(tmp_path, ["params", "flops"], [9, 8])
    with pytest.raises(ConfigError, match="2 limits: want one for params"):
        selection.read_front(tmp_path, ["params"], [9, 8])

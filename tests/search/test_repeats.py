"""Repeats: the best candidates are trained again, and a lucky training does not win."""

import dataclasses
from pathlib import Path

import pytest

from bqnn.config import TrainConfig
from bqnn.evaluation.evaluate import evaluate
from bqnn.evaluation.recipe import repeat_seed
from bqnn.evaluation.records import Evaluation, Status, repeated, reuse
from bqnn.search import journal, ladder
from bqnn.search.evaluation_store import open_store
from bqnn.search.given import give
from bqnn.search.history import Run
from bqnn.search.master import search
from bqnn.search.problem import make_candidate
from bqnn.search.reward import last_accuracy
from bqnn.space.nsc import parse
from tests.helpers.searches import (
    DEVICE,
    SPEC,
    RepeatingExecutor,
    digests_of,
    evaluated,
    problem_of,
    replay,
    search_table,
    tabulated,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation

CONFIG = tiny_config(train={"epochs": 2, "repeats": 3, "seed": 0})
CANDIDATE = make_candidate(problem_of(tiny_config()), parse("1,1,3,0,0"))


def test_the_best_eighth_is_trained_again() -> None:
    empty = ladder.make(TrainConfig(epochs=1, repeats=2))
    assert ladder.standing(ladder.make(TrainConfig())).repeat_from is None
    # Nothing was seen, so everybody may be the best.
    assert ladder.standing(empty).repeat_from == 0.0
    told = [
        (dataclasses.replace(CANDIDATE, hash=f"{n}"), Evaluation(Status.OK, (n / 20,)))
        for n in range(15)
    ]
    # Of ten, one; of sixteen, two.
    assert ladder.standing(ladder.tell(empty, told[:9])).repeat_from == 8 / 20
    assert ladder.standing(ladder.tell(empty, told)).repeat_from == 13 / 20


def test_the_mean_is_what_counts() -> None:
    problem = problem_of(tiny_config(reward={"kind": "accuracy"}))
    found = Evaluation(Status.OK, (0.5, 0.9), repeats=(0.6, 0.3))
    for evaluation in (found, reuse(found)):
        assert evaluation.final == pytest.approx(0.6)
        assert problem.reward(CANDIDATE, evaluation) == evaluation.final
        assert last_accuracy(CANDIDATE, evaluation) == evaluation.final


def test_the_first_training_decides_and_each_has_its_own_seed() -> None:
    config = tiny_config(train={"learning_rate": 0.01, "repeats": 3})
    problem = problem_of(config)
    plain = make_candidate(problem, parse("1,1,3,0,0"))
    first = evaluate(plain, config)
    low, high = (
        evaluate(dataclasses.replace(plain, repeat_from=first.final + more), config)
        for more in (0.0, 1e-6)
    )
    assert low.accuracy == high.accuracy == first.accuracy
    assert high.repeats == ()
    seeds = [repeat_seed(plain.seed, number) for number in (1, 2)]
    alone = [evaluate(dataclasses.replace(plain, seed=s), config) for s in seeds]
    assert low.repeats == tuple(e.accuracy[-1] for e in alone)
    assert len({first.accuracy[-1], *low.repeats}) == 3


def test_a_search_repeats_its_best_and_replays(tmp_path: Path) -> None:
    whole = search_table(tmp_path / "whole", CONFIG, RepeatingExecutor(capacity=1))
    events = evaluated(whole)
    own = [e for e in events if e.evaluation.status == Status.OK]
    late = [e for e in own if e.candidate.iteration > 1]
    for event in own:
        first, least = event.evaluation.accuracy[-1], event.candidate.repeat_from
        assert least is not None
        assert bool(event.evaluation.repeats) == (first >= least)
    assert 0 < sum(bool(e.evaluation.repeats) for e in late) < len(late)
    search_table(tmp_path / "cut", CONFIG, RepeatingExecutor(), stop_after=9)
    backwards = RepeatingExecutor(lambda count: count - 1, capacity=5)
    again = search_table(tmp_path / "cut", CONFIG, backwards)
    assert (
        digests_of(again) == digests_of(whole) == digests_of(replay(tmp_path / "cut"))
    )


def test_others_are_told_the_mean(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    events = evaluated(search_table(earlier, CONFIG, RepeatingExecutor()))
    with journal.create_or_open(tmp_path / "later") as facts:
        facts.start(Run(CONFIG, SPEC, "none", {}))
        give(facts, problem_of(CONFIG), [earlier])
        given = facts.given()
    assert given
    told = {known.candidate.block: known.accuracy[-1] for known in given.learnt}
    assert told == {e.candidate.block: last_accuracy(*e[:2]) for e in events}


def test_the_store_has_first_trainings_alone(tmp_path: Path) -> None:
    trained = []
    for name in ("one", "two"):
        run, executor = Run(CONFIG, SPEC, "none", {}), RepeatingExecutor()
        with (
            journal.create_or_open(tmp_path / name) as facts,
            open_store(tmp_path, run, tmp_path / name) as store,
        ):
            facts.start(run)
            list(search(problem_of(CONFIG), facts, executor, store=store))
        trained.append(executor.attempts)
    # What is trained again is not known; the rest is.
    assert {c.id for c in trained[1]} == {
        c.id for c in trained[0] if repeated(c, tabulated(c).accuracy)
    }
    one, two = (digests_of(replay(tmp_path / name)) for name in ("one", "two"))
    assert one == two


def test_a_result_says_of_how_many_trainings_it_is() -> None:
    from bqnn.report.progress import _result

    found = Evaluation(Status.OK, (0.5,), device=DEVICE, repeats=(0.75,))
    assert _result(found) == "accuracy 62.50% (the mean of 2)"

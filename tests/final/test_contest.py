"""Contests of found blocks and rivals: who takes part, at which widths, who wins."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from bqnn.config import AgentConfig, Config, SpaceConfig
from bqnn.errors import ConfigError, NscError
from bqnn.evaluation.records import Evaluation, Status
from bqnn.final.config import FinalConfig, FinalDataConfig, RecipeConfig
from bqnn.final.contest import (
    Contest,
    Ended,
    contest_tasks,
    make_contest,
    standings,
    to_json,
    train_contest,
)
from bqnn.final.rivals import Rivals, draw_rivals, parse_rivals, random_block
from bqnn.final.winner import winner_tasks
from bqnn.report.contest import contest_table, draw_points, ended_line
from bqnn.space.known import KNOWN, parse
from bqnn.space.nsc import canonical_hash
from bqnn.stats import few_mean
from tests.helpers.networks import small
from tests.helpers.searches import SPEC, TableExecutor

FINAL = FinalConfig(
    FinalDataConfig("digits", validation=0.2),
    small(widths=(8,)),
    RecipeConfig(epochs=1, seed=5, threads=1),
)
BLOCKS = {"rank1": parse("1,1,3,0,0"), "vgg": parse("vgg")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnett", "known block 'resnett': want vgg, resnet, bottleneck, inception"),
        ("vgg,", "known block '': want vgg"),
        ("vgg,vgg", "'vgg,vgg': want each of them once"),
        ("random:1,random:2", "want each of them once"),
        ("random:0", "'random:0': want a number from 1 to 1000 after random:"),
        ("random:x", "want a number from 1 to 1000"),
        ("random", "known block 'random': want vgg"),
    ],
)
def test_what_is_no_rival_is_refused(text: str, message: str) -> None:
    with pytest.raises((ConfigError, NscError), match=message):
        parse_rivals(text)


def test_rivals_by_name_and_at_random() -> None:
    rivals = parse_rivals("resnet, random:4,vgg")
    assert rivals == Rivals(("resnet", "vgg"), 4)
    search = Config(space=SpaceConfig(max_layers=3))
    found = [parse("1,1,3,0,0")]
    blocks = draw_rivals(rivals, search, 7, found)
    assert [*blocks][:3] == ["resnet", "vgg", "random1"]
    assert blocks["vgg"] == KNOWN["vgg"].block
    assert len({canonical_hash(b) for b in (*found, *blocks.values())}) == 7
    assert all(len(block) <= 3 for block in blocks.values())
    assert draw_rivals(rivals, search, 7, found) == blocks
    assert draw_rivals(rivals, search, 8, found) != blocks
    # More of them begin with the same.
    more = draw_rivals(rivals._replace(random=6), search, 7, found)
    assert blocks.items() <= more.items()
    one_layer = Config(space=SpaceConfig(max_layers=1))
    with pytest.raises(ConfigError, match="random:9: . other blocks were found in"):
        draw_rivals(Rivals((), 9), one_layer, 0, ())


# At index 1: 3 convolutions, 2 + 2 poolings and an identity; at index 2 twice as many,
# an add, a concat and the terminal.
@pytest.mark.parametrize(
    ("exploration", "convolution", "terminal"),
    [("codes", 3 / 8, 1 / 19), ("types", 1 / 4, 1 / 7)],
)
def test_random_blocks_are_drawn_as_agents_explore(
    exploration: str, convolution: float, terminal: float
) -> None:
    agent = AgentConfig(exploration=exploration)
    search, rng = Config(space=SpaceConfig(2), agent=agent), np.random.default_rng(0)
    blocks = [random_block(rng, search) for _ in range(3000)]
    begun = np.mean([block.layers[0].type == 1 for block in blocks])
    ended = np.mean([len(block) == 1 for block in blocks])
    assert (begun, ended) == pytest.approx((convolution, terminal), abs=0.03)


@pytest.mark.parametrize(("match", "width"), [("params", 6), ("flops", 6), ("none", 8)])
def test_the_first_keeps_its_widths_and_others_are_matched(
    match: str, width: int
) -> None:
    # By the hand-worked numbers of tests/networks/test_scale.py.
    contest = make_contest(BLOCKS, FINAL, SPEC, match, 3)
    first, second = contest.contestants
    assert contest.seeds == (5, 6, 7)
    assert first.config == FINAL
    assert second.config.network.widths == (width,)
    assert first.candidate.network_params == 770
    assert second.candidate.network_params == {6: 808, 8: 1362}[width]


def test_blocks_of_a_budget_have_their_own_depth_then_equal_costs() -> None:
    budget = dataclasses.replace(FINAL.network, fit_params=1362)
    config = dataclasses.replace(FINAL, network=budget)
    first, second = make_contest(BLOCKS, config, SPEC, "params", 1).contestants
    # Two convolutions in both: of two blocks, and of one.
    assert [c.config.network.repeats for c in (first, second)] == [2, 1]
    assert [c.candidate.network_params for c in (first, second)] == [1362, 1362]


def test_every_training_has_its_folder_seed_and_widths(tmp_path: Path) -> None:
    contest = make_contest(BLOCKS, FINAL, SPEC, "params", 2)
    tasks = contest_tasks(contest, tmp_path)
    assert [task.folder.name for task in tasks.values()] == [
        *("rank1-seed5", "vgg-seed5", "rank1-seed6", "vgg-seed6")
    ]
    assert [task.config.train.seed for task in tasks.values()] == [5, 5, 6, 6]
    assert [task.config.network.widths for task in tasks.values()] == [(8,), (6,)] * 2
    assert not any(task.test for task in tasks.values())
    (_, winner) = winner_tasks(
        tmp_path, [c.config for c in contest.contestants]
    ).items()
    assert winner[0] not in tasks
    assert winner[1].test and winner[1].config.data.validation == 0
    assert winner[1].config.network.widths == (6,)


def test_all_are_trained_and_failures_are_told() -> None:
    contest = make_contest(BLOCKS, FINAL, SPEC, "none", 2)
    executor = TableExecutor(faults={1: Status.DIVERGED})
    ended = [*train_contest(contest, executor)]
    assert [(e.contestant.name, e.seed) for e in ended] == [
        *(("rank1", 5), ("vgg", 5), ("rank1", 6), ("vgg", 6))
    ]
    first, last = standings(contest, ended)
    assert (first.contestant.name, [*first.accuracies]) == ("rank1", [5, 6])
    assert [*last.failed] == [5] and [*last.accuracies] == [6]
    assert (
        ended_line(ended[1], 2, 4) == "2/4: vgg, seed 5: diverged: diverged on purpose"
    )


def _ended(contest: Contest, name: str, *accuracies: float) -> list[Ended]:
    (one,) = (c for c in contest.contestants if c.name == name)
    return [
        Ended(one, seed, Evaluation(Status.OK, accuracy=(0.1, accuracy)))
        for seed, accuracy in zip(contest.seeds, accuracies, strict=True)
    ]


def test_means_and_intervals_worked_by_hand() -> None:
    contest = make_contest(BLOCKS, FINAL, SPEC, "none", 3)
    ended = [
        *_ended(contest, "rank1", 0.70, 0.75, 0.80),
        *_ended(contest, "vgg", 0.78, 0.79, 0.80),
    ]
    first, last = standings(contest, ended)
    assert (first.contestant.name, last.contestant.name) == ("vgg", "rank1")
    assert first.mean and last.mean
    # t of 2 degrees of freedom, 4.3027, times 0.01 and 0.05 over the root of 3.
    assert first.mean.value == pytest.approx(0.79)
    assert first.mean.interval == pytest.approx((0.76516, 0.81484), abs=1e-5)
    assert last.mean.interval == pytest.approx((0.62579, 0.87421), abs=1e-5)
    values = json.loads(json.dumps(to_json([first, last], {"vgg": 0.5})))
    assert values[0]["accuracy"] == {"5": 0.78, "6": 0.79, "7": 0.8}
    assert (values[0]["latency_ms"], values[1]["latency_ms"]) == (0.5, None)
    assert values[0]["interval"] == pytest.approx([0.76516, 0.81484], abs=1e-5)
    assert all(math.isnan(end) for end in few_mean([0.5]).interval)


def test_an_interval_holds_accuracies_only() -> None:
    contest = make_contest(BLOCKS, FINAL, SPEC, "none", 2)
    ended = [*_ended(contest, "rank1", 0.5, 0.9), *_ended(contest, "vgg", 0.5, 0.5)]
    first, _ = standings(contest, ended)
    assert first.mean and list(map(float, first.mean.interval)) == [0, 1]


def test_one_seed_has_no_interval_and_is_drawn() -> None:
    contest = make_contest(BLOCKS, FINAL, SPEC, "none", 1)
    ranked = standings(
        contest, [*_ended(contest, "rank1", 0.5), *_ended(contest, "vgg", 0.6)]
    )
    assert to_json(ranked, {})[0]["interval"] is None
    axes = Figure().subplots()
    means = [one.mean for one in ranked if one.mean]
    draw_points(axes, ["vgg", "rank1"], [3.0, 4.0], means)
    assert {text.get_text() for text in axes.texts} == {"vgg", "rank1"}
    assert contest_table(ranked, {}, "a contest")

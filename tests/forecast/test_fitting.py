"""Which iterations and rungs fit into a time, by hand-worked numbers."""

import dataclasses

import pytest

from bqnn.config import Config, RewardConfig, TrainConfig, schedule
from bqnn.errors import ConfigError
from bqnn.forecast.fitting import fitted, proposed_rungs
from tests.helpers.searches import tiny_config

CONFIG = tiny_config(
    agent={"schedule": "1.0:10,0.5:5,0.1:5"}, train={"epochs": 12, "rungs": ()}
)


def _seconds(config: Config) -> float:
    """Take 100 seconds, and 1000 for an iteration, or 400 with rungs."""
    iterations = schedule.parse(config.agent.schedule).iterations
    return 100.0 + iterations * (400 if config.train.rungs else 1000)


@pytest.mark.parametrize(
    ("limit", "text", "rungs"),
    [
        (20_100, "1.0:10,0.5:5,0.1:5", ()),
        (20_099, "1.0:10,0.5:5,0.1:5", (1, 4)),
        (8_100, "1.0:10,0.5:5,0.1:5", (1, 4)),
        (8_099, "1.0:10,0.5:5,0.1:4", (1, 4)),
        (4_100, "1.0:5,0.5:3,0.1:2", (1, 4)),
        (2_100, "1.0:3,0.5:1,0.1:1", (1, 4)),
    ],
)
def test_a_search_changes_as_little_as_it_takes(
    limit: float, text: str, rungs: tuple[int, ...]
) -> None:
    found = fitted(CONFIG, limit, _seconds)
    assert (found.agent.schedule, found.train.rungs) == (text, rungs)
    assert _seconds(found) <= limit
    assert (found == CONFIG) == (limit == 20_100)


def test_a_front_gets_no_rungs() -> None:
    agent = dataclasses.replace(CONFIG.agent, goal="front")
    reward = RewardConfig(kind="accuracy", cost="flops")
    front = dataclasses.replace(CONFIG, agent=agent, reward=reward)
    found = fitted(front, 8_100, _seconds)
    assert (found.agent.schedule, found.train.rungs) == ("1.0:4,0.5:2,0.1:2", ())


def test_no_epsilon_is_left_out() -> None:
    with pytest.raises(
        ConfigError, match=r"0\.361 hours: with \d+ iterations it takes"
    ):
        fitted(CONFIG, 1_299, _seconds)


@pytest.mark.parametrize(
    ("epochs", "eta", "want"),
    [
        (12, 3.0, (1, 4)),
        (2, 3.0, ()),
        (3, 3.0, (1,)),
        (27, 3.0, (1, 3, 9)),
        (2, 1.5, (1,)),
    ],
)
def test_every_rung_leaves_one_of_eta(
    epochs: int, eta: float, want: tuple[int, ...]
) -> None:
    assert proposed_rungs(TrainConfig(epochs=epochs, eta=eta)) == want

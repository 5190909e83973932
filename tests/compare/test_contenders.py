"""Contenders are parsed from calls, and their schedules stretched to the budget."""

import pytest

from bqnn.compare import contenders
from bqnn.compare.many_seeds import for_budget
from bqnn.config import AgentConfig
from bqnn.errors import ConfigError
from tests.helpers.searches import tiny_config

CONFIG = tiny_config(search={"batch": 4, "lag": 0})


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
        ("sarsa", "no agent 'sarsa', only q, random, local, q_plus, evolution"),
        ("q(alpha=7)", "agent.alpha is 7.0"),
        ("q(beta=7)", "unknown configuration field agent.beta"),
        ("evolution(alpha=1)", "unknown configuration field agent.evolution.alpha"),
        ("q(batch=0)", "batch is 0: want a number from 1"),
        ("q(goal='front', second_cost='params')", "want none: fronts are compared by"),
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

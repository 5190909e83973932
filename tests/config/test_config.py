"""Configuration: the paper's numbers, and what is refused."""

import dataclasses
import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqnn.config import Config, SearchConfig, SpaceConfig, schedule
from bqnn.config.dictionary import differences, from_dict, to_dict
from bqnn.config.schedule import Schedule
from bqnn.errors import ConfigError

FRONT, PLAIN = {"goal": "front"}, {"kind": "accuracy"}


def test_defaults_are_the_papers_search() -> None:
    config = Config()
    steps = schedule.parse(config.agent.schedule)
    assert steps.iterations == 178
    assert steps.iterations * config.search.batch == 11_392
    assert steps.epsilons[0] == 1.0
    assert steps.epsilons[94:96] == (1.0, 0.9)
    assert steps.epsilons[-12:] == (0.1,) * 12
    assert (config.agent.alpha, config.agent.gamma) == (0.01, 1.0)
    assert config.agent.replay_updates == 64
    assert config.space.max_layers == 23
    assert config.network.widths == (32, 64, 128)
    assert config.network.repeats == 4
    assert (config.train.epochs, config.train.batch) == (12, 256)
    assert (config.train.decay, config.train.decay_epochs) == (0.2, 5)
    assert (config.train.restarts, config.train.restart_decay) == (3, 0.4)
    assert (config.reward.mu, config.reward.rho) == (1.0, 8.0)


def test_a_configuration_survives_json() -> None:
    config = from_dict(
        {"network": {"widths": [8, 16]}, "data": {"data_dir": "/d"}}, Config
    )
    assert config.network.widths == (8, 16)
    assert from_dict(json.loads(json.dumps(to_dict(config))), Config) == config


@pytest.mark.parametrize(
    "types", [("add", "convolution"), ("convolution,add",), ("(convolution, add)",)]
)
def test_types_may_be_one_text_in_any_order(types: tuple[str, ...]) -> None:
    assert SpaceConfig(types=types).types == ("convolution", "add")


def test_differences_name_the_fields() -> None:
    other = dataclasses.replace(Config(), search=SearchConfig(seed=5))
    assert list(differences(Config(), other)) == ["search.seed: 0 -> 5"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dota": {}}, "unknown configuration field dota"),
        ({"data": {"nmae": "x"}}, "unknown configuration field data.nmae: want one of"),
        ({"data": {"validation": 1.5}}, "data.validation is 1.5: want a fraction"),
        ({"data": {"section": "x"}}, "unknown configuration field data.section"),
        ({"data": {"name": 5}}, "data.name is 5: want str"),
        (
            {"space": {"max_layers": 0}},
            "space.max_layers is 0: want a number from 1 to 60",
        ),
        ({"space": {"max_layers": 2.5}}, "space.max_layers is 2.5: want int"),
        ({"space": {"types": ["conv"]}}, "space.types has 'conv': want some of conv"),
        ({"space": {"types": 3}}, "space.types is 3: want tuple"),
        ({"agent": {"name": "x"}}, "agent.name is 'x': want q"),
        ({"agent": {"alpha": 0.0}}, "agent.alpha is 0.0"),
        ({"agent": {"shaped": 1}}, "agent.shaped is 1: want bool"),
        ({"agent": {"exploration": "all"}}, "agent.exploration is 'all': want codes"),
        ({"agent": {"schedule": "1.0:5,x"}}, "agent.schedule: 'x' is not"),
        ({"agent": {"schedule": "1.5:5"}}, "agent.schedule: '1.5:5' is not"),
        ({"agent": {"schedule": "0.5:0"}}, "agent.schedule: '0.5:0' is not"),
        ({"search": {"order": "arrival!"}}, "search.order is 'arrival!'"),
        ({"search": {"lag": -1}}, "search.lag is -1"),
        ({"network": {"widths": ()}}, "network.widths is (): want one positive"),
        ({"network": {"widths": (4, "x")}}, "network.widths is 'x': want int"),
        ({"network": {"stem": "mnist"}}, "network.stem is 'mnist': want cifar or"),
        (
            {"space": {"wirings": ["chain"]}},
            "space.wirings is ('chain',): want some of",
        ),
        (
            {"space": {"wirings": ["dense"]}, "network": {"wiring": "dense"}},
            "space.wirings is ('dense',): want others than network.wiring",
        ),
        ({"network": {"wiring": "ring"}}, "network.wiring is 'ring': want chain or"),
        ({"network": {"fit_params": 0}}, "network.fit_params is 0: want a number"),
        (
            {"network": {"fit_params": 9, "fit_flops": 5}},
            "network.fit_flops is 5: want None beside network.fit_params",
        ),
        ({"train": {"dtype": "float64"}}, "train.dtype is 'float64': want float32 or"),
        ({"train": {"b1": 1.0}}, "train.b1 is 1.0"),
        ({"budget": {"timeout": 0}}, "budget.timeout is 0.0: want a positive number"),
        ([1], "the configuration is [1]: want fields by name"),
        ({"agent": [1]}, "agent is [1]: want fields by name"),
        ({"agent": {"q_plus": 3}}, "agent.q_plus is 3: want QConfig"),
        ({"d\x1b" * 99: {}}, r"unknown configuration field d\x1bd\x1b"),
        ({"search": {"batch": 10**12}}, "search.batch is 1000000000000: want a number"),
        ({"network": {"repeats": 10**12}}, "network.repeats is 1000000000000"),
        ({"network": {"repeats": 50}}, "network.repeats * stages is 150: want 100"),
        ({"network": {"widths": [10**9]}}, "network.widths is (1000000000,)"),
        ({"network": {"widths": [1] * 11}}, "for 1 to 10 stages"),
        ({"agent": {"schedule": "1:999999,1:2"}}, "agent.schedule has 1,000,001 iter"),
        ({"agent": {"schedule": "1" * 99_999}}, "is not 'epsilon:iterations'"),
        ({"agent": {"schedule": "1:99999"}}, "iterations * search.batch is 6399936"),
        ({"agent": {"replay_best": 999, "replay_updates": 99_999}}, "is 99899001"),
        ({"reward": {"mu": math.nan}}, "reward.mu is nan: want a finite number"),
        ({"reward": {"rho": math.inf}}, "reward.rho is inf: want a finite number"),
        ({"reward": {"rho": 10**400}}, "reward.rho is 1000000"),
        ({"reward": {"cost": "volts"}}, "reward.cost is 'volts': want flops or params"),
        ({"reward": {"target": 0}}, "reward.target is 0: want a number from 1 to"),
        ({"reward": {"above": 1}}, "reward.above is 1.0: want a number from -2 to 0"),
        ({"agent": {"goal": "both"}}, "agent.goal is 'both': want reward or front"),
        ({"agent": {"goal": "front", "name": "local"}}, "want reward with agent.name"),
        ({"agent": {"second_cost": "params"}}, "is 'params': want none without agent."),
        (
            {"agent": {**FRONT, "second_cost": "flops"}, "reward": PLAIN},
            "agent.second_cost is 'flops': want another than reward.cost",
        ),
        (
            {"agent": {**FRONT, "second_cost": "latency"}, "reward": PLAIN},
            "agent.second_cost is 'latency': want budget.latency_table=FILE",
        ),
        ({"agent": FRONT}, "reward.kind is 'paper': want accuracy or learned with"),
        (
            {"agent": FRONT, "reward": {**PLAIN, "target": 5}},
            "reward.target is 5: want",
        ),
        ({"agent": FRONT, "reward": PLAIN, "train": {"rungs": (1,)}}, "want none with"),
        ({"agent": {"q_init": -math.inf}}, "agent.q_init is -inf: want a finite"),
        ({"train": {"learning_rate": 1e39}}, "train.learning_rate is 1e+39"),
        ({"budget": {"max_flops": 10**30}}, "budget.max_flops is 10000000000"),
        ({"data": {"name": "x" * 5000}}, "want at most 4,096 characters"),
        ({"agent": {"optimism": 0.5}}, "agent.optimism is 0.5: the field is retired"),
        ({"agent": {"q_plus": {"optimism": 1}}}, "agent.q_plus.optimism is 1: the"),
        ({"agent": {"optimism": "x"}}, "agent.optimism is 'x': want float"),
        ({"train": {"optimism": 0.0}}, "unknown configuration field train.optimism"),
    ],
)
def test_a_bad_value_is_quoted(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        from_dict(values, Config)


def test_a_retired_field_that_is_off_still_reads() -> None:
    old = {"agent": {"optimism": 0.0, "alpha": 0.5, "q_plus": {"optimism": 0}}}
    new = {"agent": {"alpha": 0.5, "q_plus": {}}}
    assert from_dict(old, Config) == from_dict(new, Config)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_may_be_infinite_or_none(value: float) -> None:
    config = Config()
    for part in dataclasses.fields(config):
        section = getattr(config, part.name)
        for entry in dataclasses.fields(section):
            if isinstance(getattr(section, entry.name), float):
                with pytest.raises(ConfigError, match=f"{entry.name} is"):
                    dataclasses.replace(section, **{entry.name: value})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_a_schedule_reads_as_it_was_written(epsilons: list[float]) -> None:
    written = Schedule(tuple(abs(epsilon) for epsilon in epsilons))
    assert schedule.parse(str(written)) == written


def test_a_schedule_is_stretched_over_a_bounded_length() -> None:
    assert str(schedule.stretched("5e-05:1,1:1", 4)) == "5e-05:2,1.0:2"
    with pytest.raises(ConfigError, match="1,000,000,000,000 iterations"):
        schedule.stretched("1:1", 10**12)

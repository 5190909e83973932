"""Agents: traced and compiled once in a process for all searches that ask alike."""

import dataclasses
import functools
from typing import Any

from bqnn.agents.agent import Agent, make_agent
from bqnn.search.problem import Problem

_AGENTS: dict[Any, Agent] = {}


def share() -> None:
    """Let problems share agents: they are values, and take seconds to compile."""
    agent = functools.cached_property(_agent)
    agent.__set_name__(Problem, "agent")
    Problem.agent = agent  # type: ignore[assignment]


def _agent(problem: Problem) -> Agent:
    config = problem.config
    own = make_agent(problem.space, config, problem.learnt)
    # All that decides its programs; the seed is in the first state alone.
    search = dataclasses.replace(config.search, seed=0)
    width = config.network.width
    key = config.space, width, config.agent, search, problem.learnt
    return _AGENTS.setdefault(key, own)._replace(init=own.init)

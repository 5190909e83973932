"""Agents: what proposes blocks and learns from their rewards.

A `Learner` is pure functions of arrays; an `Agent` is a learner bound to a seed and to
the host's CPU. All learners are behind the one interface of `bqnn.agents.learner`.
"""

from bqnn.agents.agent import (
    LEARNERS,
    Agent,
    AgentState,
    AskInfo,
    digest,
    make_agent,
    make_learner,
)
from bqnn.agents.learner import Learner, State

__all__ = [
    "LEARNERS",
    "Agent",
    "AgentState",
    "AskInfo",
    "Learner",
    "State",
    "digest",
    "make_agent",
    "make_learner",
]

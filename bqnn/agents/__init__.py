"""Learners over a space, all behind one interface."""

from collections.abc import Callable

from bqnn.agents.evolution import make_evolution
from bqnn.agents.learner import Learner, State
from bqnn.agents.q import make_q, make_q_plus
from bqnn.agents.random_search import make_random
from bqnn.config import AgentConfig
from bqnn.space.actions import Space

LEARNERS: dict[str, Callable[[Space, AgentConfig, int], Learner]] = {
    "q": make_q,
    "q_plus": make_q_plus,
    "random": make_random,
    "evolution": make_evolution,
}
"""Learners by the name that `config.agent.name` takes."""


def make_learner(space: Space, config: AgentConfig, batch: int) -> Learner:
    """Build the learner that the configuration names, for batches of `batch` blocks."""
    return LEARNERS[config.name](space, config, batch)


__all__ = ["LEARNERS", "Learner", "State", "make_learner"]

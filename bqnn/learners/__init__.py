"""Learners over a space, all behind one interface."""

from collections.abc import Callable

from bqnn.agent_config import AgentConfig
from bqnn.learners.evolution import make_evolution
from bqnn.learners.learner import Learner, State
from bqnn.learners.q import make_q, make_q_plus
from bqnn.learners.random import make_random
from bqnn.space import Space

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

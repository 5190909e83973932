"""Costs of a candidate that a search may weigh: known before it is trained."""

import math
from collections.abc import Callable, Mapping

from bqnn.config import Config
from bqnn.evaluation.records import Candidate

COSTS: Mapping[str, Callable[[Candidate], int]] = {
    "flops": lambda candidate: candidate.network_flops,
    "params": lambda candidate: candidate.network_params,
    "latency": lambda candidate: candidate.latency or 0,
}
"""Costs of the whole network, by the names that `config.reward.cost` takes.

Multiply-adds of one image; parameters; nanoseconds for one image, as
`budget.latency_table` has it.
"""


def log_cost(name: str, candidate: Candidate) -> float:
    """Return ln(cost); 0 for a candidate that costs nothing."""
    return math.log(max(1, COSTS[name](candidate)))


def names_of(config: Config) -> tuple[str, ...]:
    """Return the names of the costs of a front, one or two."""
    second = config.agent.second_cost
    return (config.reward.cost, *([] if second == "none" else [second]))

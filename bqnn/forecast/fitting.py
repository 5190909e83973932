"""Fitting: iterations and rungs with which a search ends in a given time."""

import dataclasses
from collections.abc import Callable

from bqnn.config import Config, TrainConfig, schedule
from bqnn.errors import ConfigError
from bqnn.forecast.simulation import shortened

Seconds = Callable[[Config], float]
"""Configuration -> the seconds that its search is expected to take."""


def fitted(config: Config, limit: float, seconds: Seconds) -> Config:
    """Change a search as little as it takes to end in time.

    As it is, if it does; else with rungs, where it has none and may have some (a front
    may not); else also with fewer iterations, over which the schedule of epsilon is
    spread.

    Args:
      config: of the search.
      limit: seconds from the first start to the end.
      seconds: forecasts a search.

    Raises:
      ConfigError: if it would have to leave an epsilon of the schedule out.
    """
    spent = seconds(config)
    rungs = () if config.agent.goal == "front" else proposed_rungs(config.train)
    if spent > limit and rungs and not config.train.rungs:
        train = dataclasses.replace(config.train, rungs=rungs)
        config = dataclasses.replace(config, train=train)
        spent = seconds(config)
    epsilons = schedule.parse(config.agent.schedule).epsilons
    count, shorter = len(epsilons), config
    while spent > limit:
        few = min(count - 1, int(count * limit / spent))
        if not _keeps_all(config.agent.schedule, few):
            raise ConfigError(
                f"the search does not fit into {limit / 3600:.3g} hours: with {count} "
                f"iterations it takes {spent / 3600:.3g}, and fewer would leave an "
                "epsilon of agent.schedule out; allow more hours, or train fewer "
                "epochs, smaller batches or smaller networks"
            )
        count, shorter = few, shortened(config, few)
        spent = seconds(shorter)
    return shorter


def _keeps_all(text: str, iterations: int) -> bool:
    """Tell whether a schedule keeps every epsilon, spread over so many iterations."""
    wanted = {*schedule.parse(text).epsilons}
    return iterations > 0 and wanted == {*schedule.stretched(text, iterations).epsilons}


def proposed_rungs(train: TrainConfig) -> tuple[int, ...]:
    """Propose rungs: the epochs over eta, over eta squared, ... down to one epoch.

    So every rung stops as many epochs as the others (Li et al., 2020). None, if there
    are fewer epochs than eta.
    """
    found, epochs = set(), train.epochs / train.eta
    while epochs >= 1:
        found.add(round(epochs))
        epochs /= train.eta
    return tuple(sorted(found))

"""Engines: how a network is trained on a device. All give the same results.

Up to rounding; each repeats its own to the last bit.
"""

from collections.abc import Callable

import jax

from bqnn.config import NetworkConfig, TrainConfig
from bqnn.data import Dataset
from bqnn.engines.engine import Clock, Engine
from bqnn.engines.walk import WalkEngine
from bqnn.engines.whole import ScanEngine, StepEngine
from bqnn.networks.plan import NetworkPlan

ENGINES: dict[str, Callable[[NetworkPlan, TrainConfig, Dataset, int], Engine]] = {
    "walk": WalkEngine,
    "step": StepEngine,
    "scan": ScanEngine,
}
"""Engines by the name that `config.train.engine` takes, besides `auto`."""


def engine_name(train: TrainConfig, network: NetworkConfig) -> str:
    """Resolve `auto`: what suits the width rule and the backend.

    Compiling a candidate takes longer than training it briefly, on accelerators too.
    Where it must be, the CPU gets a program for a step, since loops are slow there.
    """
    if train.engine != "auto":
        return train.engine
    if network.width == "uniform":
        return "walk"
    return "step" if jax.default_backend() == "cpu" else "scan"


__all__ = ["ENGINES", "Clock", "Engine", "engine_name"]

"""Registry: engines by name, and the one that `auto` means."""

from collections.abc import Callable

import jax

from bqnn.config import NetworkConfig, TrainConfig
from bqnn.data import Dataset
from bqnn.engines.engine import Engine
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
    """Resolve `auto` to the engine that suits the width rule and the backend.

    `walk` where it can be, on accelerators too: on an H100 a walked candidate is ready
    in 0.2 s, a whole one compiles for 8 to 10 s. Once it runs, a scanned epoch is 1.5
    times quicker there. Native widths have too many units to compile them all. Then the
    CPU gets one program per step, since loops are slow there.
    """
    if train.engine != "auto":
        return train.engine
    if network.width == "uniform":
        return "walk"
    return "step" if jax.default_backend() == "cpu" else "scan"

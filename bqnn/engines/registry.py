"""Registry: engines by name, and the one that `auto` means."""

from collections.abc import Callable

from bqnn import runtime
from bqnn.config import NetworkConfig, TrainConfig
from bqnn.data import Dataset
from bqnn.engines.engine import Engine
from bqnn.engines.walk import WalkEngine
from bqnn.engines.whole import ScanEngine, StepEngine
from bqnn.networks.plan import NetworkPlan

ENGINES: dict[str, Callable[[NetworkPlan, TrainConfig, Dataset], Engine]] = {
    "walk": WalkEngine,
    "step": StepEngine,
    "scan": ScanEngine,
}
"""Engines by the name that `config.train.engine` takes, besides `auto`."""

LONG = 1000
"""Steps from which a training is long (ours; the paper's has 2,112).

On an H100 a whole network compiles for 5 to 10 s, and a walked one is ready after
0.2 s, but takes 1.5 to 6 times as long for a step. The compilations of the next
candidates go on while one trains, so they cost nothing once trainings are as long as
they are.
"""


def engine_name(train: TrainConfig, network: NetworkConfig, images: int) -> str:
    """Resolve `auto` to the engine that suits width rule, backend and length.

    The same configuration and data give the same engine on all machines of a kind. A
    clock that chose would change the rounding from run to run.

    `walk` on one device, but for long trainings on an accelerator. The others are
    compiled whole, as are native widths, which have too many units to compile them all:
    `scan` on accelerators, and `step` on the CPU, where loops are slow.

    Args:
      train: the recipe.
      network: the stages, which have the width rule.
      images: number of images of the training part.
    """
    if train.engine != "auto":
        return train.engine
    steps = train.epochs * (images // min(train.batch, images))
    accelerated, uniform = runtime.accelerated(), network.width == "uniform"
    if uniform and train.devices == 1 and not (accelerated and steps >= LONG):
        return "walk"
    return "scan" if accelerated else "step"

"""The whole configuration: frozen dataclasses, validated on construction.

The defaults are the paper's search (sections 3 and 4.2, table 2). `launch/configs`
holds the configurations that ship. Names are a contract with users and journals.
"""

import dataclasses
from dataclasses import dataclass, field

from bqnn.agent_config import AgentConfig
from bqnn.checks import check, one_of


@dataclass(frozen=True)
class DataConfig:
    """Which images to learn from.

    Attributes:
      name: `digits`, a tensorflow_datasets name, `npz:FILE` or `folder:DIR`.
      data_dir: where tensorflow_datasets keeps its data; its own default if None.
      validation: fraction of the training split held out, stratified by class; a
        search needs one.
      split_seed: which images of a class are held out.
    """

    name: str = "cifar100"
    data_dir: str | None = None
    validation: float = 0.1
    split_seed: int = 0

    def __post_init__(self) -> None:
        """Validate the values."""
        value = self.validation
        check(
            "data.validation",
            value,
            0 <= value < 1,
            "a fraction, 0 or more and less than 1",
        )
        check("data.split_seed", self.split_seed, self.split_seed >= 0, "0 or more")


@dataclass(frozen=True)
class SpaceConfig:
    """The search space: `max_layers` is the largest layer index (the paper: 23)."""

    max_layers: int = 23

    def __post_init__(self) -> None:
        """Validate the values."""
        value = self.max_layers
        check("space.max_layers", value, 1 <= value <= 60, "1 to 60")


@dataclass(frozen=True)
class SearchConfig:
    """The search loop.

    Attributes:
      batch: blocks per iteration.
      order: `slot`: rewards are told batch by batch, in the order they were asked;
        `arrival`: as results come, so that no worker waits and no two runs are equal.
      lag: in slot order, batches that may be in flight beyond the one being told; 0 is
        the paper's barrier after every iteration.
      seed: the one seed from which everything random comes.
    """

    batch: int = 64
    order: str = "slot"
    lag: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Validate the values."""
        check("search.batch", self.batch, self.batch >= 1, "1 or more")
        one_of("search.order", self.order, ("slot", "arrival"))
        check("search.lag", self.lag, self.lag >= 0, "0 or more")
        check("search.seed", self.seed, 0 <= self.seed < 2**31, "0 to 2**31 - 1")


@dataclass(frozen=True)
class NetworkConfig:
    """How blocks are stacked into a network (the paper, section 3.1).

    Attributes:
      stem: `small` or `cifar` (3x3 convolution), `imagenet` (reduces 224 to 56), or
        `auto`: what suits the height of the images, `imagenet` from 96 pixels on.
      widths: filters of every convolution, stage by stage.
      repeats: N, blocks per stage.
      width: `uniform` (every tensor of a stage has the stage's width; ours) or
        `native` (Concat adds widths).
    """

    stem: str = "cifar"
    widths: tuple[int, ...] = (32, 64, 128)
    repeats: int = 4
    width: str = "uniform"

    def __post_init__(self) -> None:
        """Validate the values."""
        one_of("network.stem", self.stem, ("small", "cifar", "imagenet", "auto"))
        ok = bool(self.widths) and all(w >= 1 for w in self.widths)
        check("network.widths", self.widths, ok, "one positive number per stage")
        check("network.repeats", self.repeats, self.repeats >= 1, "1 or more")
        one_of("network.width", self.width, ("uniform", "native"))


@dataclass(frozen=True)
class TrainConfig:
    """Early-stop training of a candidate (the paper, sections 3.3 and 4.2).

    Attributes:
      epochs: passes over the training part.
      batch: images per step.
      learning_rate: Adam's first learning rate.
      decay: factor of the learning rate, every `decay_epochs` epochs.
      b1, b2, eps: Adam's constants.
      restarts: how often training may start again when the first epoch ends worse
        than a random guess, each time with the learning rate times `restart_decay`.
      dtype: of the computation, `float32` or `bfloat16`; parameters are float32.
      engine: `walk` (layer by layer: with uniform widths no candidate is compiled),
        `step` (the whole network is, one program for a step), `scan` (one for an
        epoch), or `auto`: what suits width rule and backend. It changes the rounding.
      threads: CPU threads of a worker. It changes the rounding, so it is part of the
        configuration.
    """

    epochs: int = 12
    batch: int = 256
    learning_rate: float = 0.001
    decay: float = 0.2
    decay_epochs: int = 5
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    restarts: int = 3
    restart_decay: float = 0.4
    dtype: str = "float32"
    engine: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        """Validate the values."""
        for name in ("epochs", "batch", "decay_epochs", "threads"):
            value = getattr(self, name)
            check(f"train.{name}", value, value >= 1, "1 or more")
        for name in ("learning_rate", "decay", "eps", "restart_decay"):
            value = getattr(self, name)
            check(f"train.{name}", value, value > 0, "a positive number")
        for name in ("b1", "b2"):
            value = getattr(self, name)
            check(f"train.{name}", value, 0 <= value < 1, "a number in [0, 1)")
        check("train.restarts", self.restarts, self.restarts >= 0, "0 or more")
        one_of("train.dtype", self.dtype, ("float32", "bfloat16"))
        one_of("train.engine", self.engine, ("auto", "walk", "step", "scan"))


@dataclass(frozen=True)
class RewardConfig:
    """Weights of log(FLOPs) and log(density) in the reward (the paper, section 3.3)."""

    mu: float = 1.0
    rho: float = 8.0


@dataclass(frozen=True)
class BudgetConfig:
    """What a candidate may cost (ours). One over the budget is not trained.

    Attributes:
      max_params: parameters of the whole network.
      max_flops: multiply-adds of the whole network, one image, forward.
      max_activation_bytes: what one training batch keeps for the backward pass.
      timeout: seconds for one candidate.
    """

    max_params: int = 100_000_000
    max_flops: int = 20_000_000_000
    max_activation_bytes: int = 64 * 2**30
    timeout: float = 36_000.0

    def __post_init__(self) -> None:
        """Validate the values."""
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            check(f"budget.{entry.name}", value, value > 0, "a positive number")


@dataclass(frozen=True)
class Config:
    """All that a search depends on, besides its data."""

    data: DataConfig = field(default_factory=DataConfig)
    space: SpaceConfig = field(default_factory=SpaceConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)

    def __post_init__(self) -> None:
        """Validate the values that are related."""
        value = self.data.validation
        check("data.validation", value, value > 0, "a fraction between 0 and 1")

"""The whole configuration: frozen dataclasses, validated on construction.

The defaults are the paper's search, but for what is marked ours. `launch/configs`
holds the configurations that ship. Names are a contract with users and journals.
"""

from dataclasses import dataclass, field

from bqnn.config import schedule
from bqnn.config.agent import AgentConfig
from bqnn.config.checks import LARGE, LONGEST_TEXT, check, one_of, positive, within

MOST_CANDIDATES = 1_000_000
"""Candidates of a search: the places of the replay memory (the paper: 11,392)."""

MOST_BLOCKS = 100
"""Blocks of a network, over all stages (the paper: 12)."""


@dataclass(frozen=True)
class DataConfig:
    """Which images to learn from.

    Attributes:
      name: `digits`, a tensorflow_datasets name, `npz:FILE` or `folder:DIR`.
      data_dir: where tensorflow_datasets keeps its data; its own default if None.
      validation: fraction of the training split held out, stratified by class; a
        search needs one (how much is ours).
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
        within("data", self, {"split_seed": (0, 2**63 - 1)})
        for name in ("name", "data_dir"):
            text = getattr(self, name) or ""
            ok, want = len(text) <= LONGEST_TEXT, f"at most {LONGEST_TEXT:,} characters"
            check(f"data.{name}", text, ok, want)


@dataclass(frozen=True)
class SpaceConfig:
    """The search space.

    Attributes:
      max_layers: the largest layer index of a block (the paper: 23).
    """

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
      lag: in slot order, batches that may be in flight beyond the one being told
        (ours); 0 waits for a batch before the next is asked.
      seed: the one seed from which everything random comes.
    """

    batch: int = 64
    order: str = "slot"
    lag: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Validate the values."""
        within("search", self, {"batch": (1, 10_000), "lag": (0, MOST_CANDIDATES)})
        one_of("search.order", self.order, ("slot", "arrival"))
        check("search.seed", self.seed, 0 <= self.seed < 2**31, "0 to 2**31 - 1")


@dataclass(frozen=True)
class NetworkConfig:
    """How blocks are stacked into a network (the paper, stacking).

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
        # Ten stages halve an image of 1024 pixels to one.
        stages = len(self.widths)
        ok = 1 <= stages <= 10 and all(1 <= w <= 10_000 for w in self.widths)
        want = "one positive number per stage, up to 10,000, for 1 to 10 stages"
        check("network.widths", self.widths, ok, want)
        within("network", self, {"repeats": (1, MOST_BLOCKS)})
        blocks, want = stages * self.repeats, f"{MOST_BLOCKS} blocks at most"
        check("network.repeats * stages", blocks, blocks <= MOST_BLOCKS, want)
        one_of("network.width", self.width, ("uniform", "native"))


@dataclass(frozen=True)
class TrainConfig:
    """Early-stop training of a candidate (the paper, early stop).

    Attributes:
      epochs: passes over the training part.
      batch: images per step.
      learning_rate: Adam's first learning rate.
      decay: factor of the learning rate, every `decay_epochs` epochs.
      decay_epochs: see `decay`.
      b1, b2, eps: Adam's constants.
      restarts: how often training may start again when the first epoch ends worse
        than a random guess, each time with the learning rate times `restart_decay`.
      restart_decay: see `restarts`.
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
        ranges = {
            "epochs": (1, 100_000),
            "batch": (1, 1_000_000),
            "decay_epochs": (1, 100_000),
            "restarts": (0, 1000),
            "threads": (1, 4096),
        }
        within("train", self, ranges)
        positive("train", self, ("learning_rate", "decay", "eps", "restart_decay"))
        for name in ("b1", "b2"):
            value = getattr(self, name)
            check(f"train.{name}", value, 0 <= value < 1, "a number in [0, 1)")
        one_of("train.dtype", self.dtype, ("float32", "bfloat16"))
        one_of("train.engine", self.engine, ("auto", "walk", "step", "scan"))


@dataclass(frozen=True)
class RewardConfig:
    """Weights of the reward's terms (the paper, the reward).

    Attributes:
      mu: of log(FLOPs) of the block, in points of accuracy.
      rho: of log(density) of the block.
    """

    mu: float = 1.0
    rho: float = 8.0

    def __post_init__(self) -> None:
        """Validate the values."""
        within("reward", self, {"mu": (-LARGE, LARGE), "rho": (-LARGE, LARGE)})


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
        for name in ("max_params", "max_flops", "max_activation_bytes"):
            value, want = getattr(self, name), "a positive number up to 10**18"
            check(f"budget.{name}", value, 0 < value <= 10**18, want)
        # Python's timers end at 9.2e9 seconds.
        value, want = self.timeout, "a positive number up to 1e9"
        check("budget.timeout", value, 0 < value <= 1e9, want)


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
        iterations = schedule.parse(self.agent.schedule).iterations
        total = iterations * self.search.batch
        check(
            "agent.schedule's iterations * search.batch",
            total,
            total <= MOST_CANDIDATES,
            f"{MOST_CANDIDATES:,} candidates at most",
        )

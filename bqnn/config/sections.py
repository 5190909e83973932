"""The whole configuration: frozen dataclasses, validated on construction.

The defaults are the paper's search, but for what is marked ours. `launch/configs`
holds the configurations that ship. Names are a contract with users and journals.
"""

from dataclasses import dataclass, field

from bqnn.config import schedule
from bqnn.config.agent import AgentConfig
from bqnn.config.checks import (
    LARGE,
    Section,
    check,
    checked,
    fraction,
    one_of,
    positive,
    text,
    within,
)
from bqnn.layer_types import PAPER_TYPES, named

MOST_CANDIDATES = 1_000_000
"""Candidates of a search: the capacity of the replay memory (the paper: 11,392)."""

MOST_BLOCKS = 100
"""Blocks of a network, over all stages (the paper: 12)."""

WIRINGS = "chain", "residual", "dense"
"""How the blocks of a stage may be connected; the first is the paper's.

The others are the kernels 1 and 2 of a Terminal.
"""


@dataclass(frozen=True)
class DataConfig(Section):
    """Which images to learn from.

    Attributes:
      name: `digits`, a tensorflow_datasets name, `npz:FILE` or `folder:DIR`.
      data_dir: where tensorflow_datasets keeps its data; its own default if None.
      validation: fraction of the training split held out, stratified by class; a
        search needs one (how much is ours).
      split_seed: which images of a class are held out.
    """

    section = "data"

    name: str = text("cifar100")
    data_dir: str | None = text(None)
    validation: float = fraction(0.1)
    split_seed: int = within(0, 0, 2**63 - 1)


@dataclass(frozen=True)
class SpaceConfig(Section):
    """The search space.

    Attributes:
      max_layers: the largest layer index of a block (the paper: 23).
      types: names of the layer types that blocks are made of, besides the Terminal (the
        paper: the six of table 1; ours: separable_convolution too).
      wirings: `residual`, `dense`, that a block may choose in place of
        `network.wiring`, in one more decision (ours); none if empty.
    """

    section = "space"

    max_layers: int = within(23, 1, 60)
    types: tuple[str, ...] = PAPER_TYPES
    wirings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every field, and put names in the order of their numbers."""
        super().__post_init__()
        types = tuple(kind.name for kind in named(_names(self.types))[:-1])
        object.__setattr__(self, "types", types)
        wirings = [name for name in _names(self.wirings) if name]
        ok = len({*wirings}) == len(wirings) and {*wirings} <= {*WIRINGS[1:]}
        check("space.wirings", self.wirings, ok, f"some of {', '.join(WIRINGS[1:])}")
        object.__setattr__(self, "wirings", tuple(sorted(wirings, key=WIRINGS.index)))


def _names(given: tuple[str, ...]) -> list[str]:
    """Split names: on a command line, `convolution,add` is one text."""
    return ",".join(given).strip("()").replace(" ", "").split(",")


@dataclass(frozen=True)
class SearchConfig(Section):
    """The search loop.

    Attributes:
      batch: blocks per iteration.
      order: `slot`: rewards are told batch by batch, in the order they were asked;
        `arrival`: as results come, so that no worker waits and no two runs are equal.
      lag: in slot order, batches that may be in flight beyond the one being told
        (ours); 0 waits for a batch before the next is asked.
      seed: the one seed from which everything random comes, unless `train.seed` has one
        for the trainings.
    """

    section = "search"

    batch: int = within(64, 1, 10_000)
    order: str = one_of("slot", "arrival")
    lag: int = within(1, 0, MOST_CANDIDATES)
    seed: int = within(0, 0, 2**31 - 1)


@dataclass(frozen=True)
class NetworkConfig(Section):
    """How blocks are stacked into a network (the paper, stacking).

    Attributes:
      stem: `small` or `cifar` (3x3 convolution), `imagenet` (reduces 224 to 56), or
        `auto`: what suits the height of the images, `imagenet` from 96 pixels on.
      widths: filters of every convolution, stage by stage.
      repeats: N, blocks per stage.
      width: `uniform` (every tensor of a stage has the stage's width; ours) or
        `native` (Concat adds widths).
      separable_repeats: how often a separable convolution is applied: 1, or 2 as in
        NASNet (Zoph et al., 2018). Each is followed by a normalisation.
      wiring: of the blocks of a stage: `chain` (each reads the one before it; the
        paper), or ours: `residual` (and its input is added to its output), `dense`
        (each reads all before it and the stage's input, concatenated).
      fit_params: parameters of a network. With it, N is chosen for every block, so that
        its network comes closest to them, and `repeats` has no say (ours).
      fit_flops: multiply-adds for one image, forward, to choose N by, in its place.
    """

    section = "network"

    stem: str = one_of("cifar", "small", "imagenet", "auto")
    widths: tuple[int, ...] = checked(
        (32, 64, 128),
        lambda widths: 1 <= len(widths) <= 10 and all(1 <= w <= 10_000 for w in widths),
        "one positive number per stage, up to 10,000, for 1 to 10 stages",
    )
    repeats: int = within(4, 1, MOST_BLOCKS)
    width: str = one_of("uniform", "native")
    separable_repeats: int = within(1, 1, 2)
    wiring: str = one_of(*WIRINGS)
    fit_params: int | None = within(None, 1, 10**18)
    fit_flops: int | None = within(None, 1, 10**18)

    @property
    def fit(self) -> tuple[str, int] | None:
        """What decides N, `params` or `flops`, and how many; None if `repeats` does."""
        if self.fit_params is not None:
            return "params", self.fit_params
        return None if self.fit_flops is None else ("flops", self.fit_flops)

    def __post_init__(self) -> None:
        """Check every field, the blocks in all, and that one budget decides N."""
        super().__post_init__()
        alone, want = None in (self.fit_params, self.fit_flops), "network.fit_params"
        check("network.fit_flops", self.fit_flops, alone, f"None beside {want}")
        blocks, want = len(self.widths) * self.repeats, f"{MOST_BLOCKS} blocks at most"
        check("network.repeats * stages", blocks, blocks <= MOST_BLOCKS, want)


@dataclass(frozen=True)
class TrainConfig(Section):
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
      devices: devices that train one candidate, each with a part of every batch (ours);
        for images or networks that are large. It changes the rounding.
      rungs: epochs after which a training stops, unless its accuracy is among the best
        1/`eta` that were seen there (ours, after Li et al., 2020); none if empty.
      eta: see `rungs`.
      repeats: trainings, each by another seed, of a candidate whose first one is among
        the best eighth; its accuracy is their mean (ours).
      seed: from which a training draws everything random, together with the canonical
        hash of its block; `search.seed` if None. With a number, searches of other
        seeds train a block to the same result, and need train it once (ours).
    """

    section = "train"

    epochs: int = within(12, 1, 100_000)
    batch: int = within(256, 1, 1_000_000)
    learning_rate: float = positive(0.001)
    decay: float = positive(0.2)
    decay_epochs: int = within(5, 1, 100_000)
    b1: float = fraction(0.9)
    b2: float = fraction(0.999)
    eps: float = positive(1e-8)
    restarts: int = within(3, 0, 1000)
    restart_decay: float = positive(0.4)
    dtype: str = one_of("float32", "bfloat16")
    engine: str = one_of("auto", "walk", "step", "scan")
    threads: int = within(1, 1, 4096)
    devices: int = within(1, 1, 4096)
    rungs: tuple[int, ...] = checked(
        (),
        lambda rungs: (
            len(rungs) <= 100
            and all(a < b for a, b in zip((0, *rungs), rungs, strict=False))
        ),
        "ascending epochs from 1 on, 100 at most",
    )
    eta: float = within(3.0, 1.5, 1000.0)
    repeats: int = within(1, 1, 100)
    seed: int | None = within(None, 0, 2**31 - 1)

    def __post_init__(self) -> None:
        """Check every field, and what fields say of each other."""
        super().__post_init__()
        if self.devices > 1:
            want = "not walk where train.devices is above 1"
            check("train.engine", self.engine, self.engine != "walk", want)
            want = f"a multiple of train.devices, {self.devices}"
            check("train.batch", self.batch, self.batch % self.devices == 0, want)
        last, want = max(self.rungs, default=0), f"at most train.epochs, {self.epochs}"
        check("train.rungs", self.rungs, last <= self.epochs, want)


@dataclass(frozen=True)
class RewardConfig(Section):
    """The reward, and the weights of its terms (the paper, the reward).

    Attributes:
      kind: `paper`; `accuracy` (ours): early accuracy alone, without terms; `learned`
        (ours): the accuracy of a full training, foretold by a fit to blocks that the
        search itself trains in full (`bqnn.search.rounds`).
      mu: of log(FLOPs) of the block, in points of accuracy.
      rho: of log(density) of the block.
      full_blocks: blocks to train in full, for `learned`.
      full_epochs: epochs of a full training, for `learned`.
    """

    section = "reward"

    kind: str = one_of("paper", "accuracy", "learned")
    mu: float = within(1.0, -LARGE, LARGE)
    rho: float = within(8.0, -LARGE, LARGE)
    full_blocks: int = within(12, 3, 1000)
    full_epochs: int = within(100, 1, 100_000)


@dataclass(frozen=True)
class BudgetConfig(Section):
    """Limits on the cost of a candidate (ours). One over the budget is not trained.

    Attributes:
      max_params: parameters of the whole network.
      max_flops: multiply-adds of the whole network, one image, forward.
      max_activation_bytes: what one training batch keeps for the backward pass.
      timeout: seconds for one candidate.
      latency_table: a file of `launch.latency`, so that the latency of every candidate
        is known.
      max_latency: of the whole network for one image, in milliseconds, by that table.
    """

    section = "budget"

    max_params: int = within(100_000_000, 1, 10**18)
    max_flops: int = within(20_000_000_000, 1, 10**18)
    max_activation_bytes: int = within(64 * 2**30, 1, 10**18)
    # Python's timers end at 9.2e9 seconds.
    timeout: float = checked(
        36_000.0, lambda value: 0 < value <= 1e9, "a positive number up to 1e9"
    )
    latency_table: str | None = text(None)
    max_latency: float | None = within(None, 1e-9, 1e9)

    def __post_init__(self) -> None:
        """Check every field, and that a limit of latency has a table."""
        super().__post_init__()
        known, limit = self.latency_table is not None, self.max_latency
        want = "budget.latency_table=FILE of launch.latency with it"
        check("budget.max_latency", limit, limit is None or known, want)


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
        """Check what fields say of each other."""
        value = self.data.validation
        check("data.validation", value, value > 0, "a fraction between 0 and 1")
        own, wirings = self.network.wiring, self.space.wirings
        want = "others than network.wiring, which needs no choice"
        check("space.wirings", wirings, own not in wirings, want)
        if self.reward.kind == "learned":
            full, want = self.reward.full_epochs, "more than train.epochs"
            check("reward.full_epochs", full, full > self.train.epochs, want)
        iterations = schedule.parse(self.agent.schedule).iterations
        total = iterations * self.search.batch
        check(
            "agent.schedule's iterations * search.batch",
            total,
            total <= MOST_CANDIDATES,
            f"{MOST_CANDIDATES:,} candidates at most",
        )

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
from bqnn.config.network import NetworkConfig, SpaceConfig

MOST_CANDIDATES = 1_000_000
"""Candidates of a search: the capacity of the replay memory (the paper: 11,392)."""


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
      cost: of the whole network, `flops`, `params`, or `latency` in nanoseconds, by
        `budget.latency_table`: for `target`, and for `agent.goal=front`.
      target: a cost. The reward, of any kind, is multiplied by (cost / target) ** w
        (Tan et al., *MnasNet*, CVPR 2019). No target if None.
      below: w where the cost is below the target; 0 for a limit.
      above: w where it is above; -1 for a limit.
    """

    section = "reward"

    kind: str = one_of("paper", "accuracy", "learned")
    mu: float = within(1.0, -LARGE, LARGE)
    rho: float = within(8.0, -LARGE, LARGE)
    full_blocks: int = within(12, 3, 1000)
    full_epochs: int = within(100, 1, 100_000)
    cost: str = one_of("flops", "params", "latency")
    target: int | None = within(None, 1, 10**18)
    # Ends at which the largest factor is still a float32.
    below: float = within(-0.07, -2, 0)
    above: float = within(-0.07, -2, 0)


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
        if self.agent.goal == "front":
            self._check_front()
        want = "budget.latency_table=FILE of launch.latency with latency"
        costs = {"reward.cost": self.reward.cost}
        costs["agent.second_cost"] = second = self.agent.second_cost
        for name, cost in costs.items():
            known = cost != "latency" or self.budget.latency_table is not None
            check(name, cost, known, want)
        want = "another than reward.cost"
        check("agent.second_cost", second, second != self.reward.cost, want)
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

    def _check_front(self) -> None:
        """Check that nothing else weighs the cost, or leaves out what costs little."""
        reward, why = self.reward, "with agent.goal=front"
        plain = reward.kind != "paper" or reward.mu == reward.rho == 0
        want = f"accuracy or learned {why}, which weighs the cost itself"
        check("reward.kind", reward.kind, plain, want)
        check("reward.target", reward.target, reward.target is None, f"none {why}")
        want = f"none {why}: they stop what is less accurate, and cheaper too"
        check("train.rungs", self.train.rungs, not self.train.rungs, want)

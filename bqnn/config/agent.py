"""Configuration of the agents: section `agent`."""

from dataclasses import dataclass

from bqnn.config import schedule
from bqnn.config.checks import LARGE, Section, check, checked, one_of, within

MOST_DRAWS = 10_000_000
"""The most draws from the replay memory in one iteration, rejected ones included."""


@dataclass(frozen=True)
class QConfig(Section):
    """Tabular Q-learning (the paper, table 2), and switches.

    Attributes:
      schedule: epsilon by iteration, `epsilon:iterations,...`.
      alpha: learning rate.
      gamma: discount.
      replay_updates: blocks drawn from the replay memory, and so updates, per
        iteration; 0 updates from the batch just told instead.
      exploration: how a random action is drawn: uniformly over all legal `codes`, or
        a layer type first and then one of its codes: `types` (ours; the paper is
        silent).
      shaped: whether intermediate rewards are r_T / T instead of 0.
      spread: whether the last reward is r_T / T too, instead of r_T (ours).
      q_init: the initial Q-value (ours).
      unique: whether to ask for blocks whose codes were not told before, as long as a
        few tries find one: as earlier versions did (ours).
      distinct: the same for what blocks compute, whatever their codes, and for blocks
        that were asked and are not told yet (ours).
      replay_newest: tournament size by recency: every draw of the replay memory is
        the newest of so many (ours).
      replay_best: tournament size by reward: the best rewarded of so many of those
        (ours).
    """

    section = "agent"

    schedule: str = schedule.PAPER
    alpha: float = checked(0.01, lambda value: 0 < value <= 1, "a number in (0, 1]")
    gamma: float = within(1.0, 0, 1)
    replay_updates: int = within(64, 0, 100_000)
    exploration: str = one_of("codes", "types")
    shaped: bool = True
    spread: bool = False
    q_init: float = within(0.0, -LARGE, LARGE)
    unique: bool = False
    distinct: bool = False
    replay_newest: int = within(1, 1, 1000)
    replay_best: int = within(1, 1, 1000)

    def __post_init__(self) -> None:
        """Check every field, the schedule, and the draws in all."""
        super().__post_init__()
        schedule.parse(self.schedule)
        draws = self.replay_updates * self.replay_newest * self.replay_best
        check(
            "agent.replay_updates * replay_newest * replay_best",
            draws,
            draws <= MOST_DRAWS,
            f"{MOST_DRAWS:,} at most",
        )


@dataclass(frozen=True)
class EvolutionConfig(Section):
    """Regularized evolution (Real et al., AAAI 2019); with `agent.goal=front` NSGA-II.

    Attributes:
      population: P, the number of blocks alive.
      sample: tournament size: the best of so many random blocks is the parent.
    """

    section = "agent.evolution"

    population: int = within(10, 1, 100_000)
    sample: int = within(3, 1, 10_000)


@dataclass(frozen=True)
class QModelConfig(QConfig):
    """Q-learning that writes blocks, and a Gaussian process that chooses (ours).

    Attributes:
      pool: blocks written for a batch, at least 16 for each of its blocks.
      parents: how many of the best blocks told are mutated; with `agent.goal=front`
        any number, the best by as many weights as there are mutants.
      first: blocks told before what is written is more than random.
      most_told: blocks that the process is told at most, the best half and the newest;
        of those in flight it counts as many.
      noise: variance of a reward, relative to that of all rewards.
    """

    section = "agent.q_model"

    pool: int = within(100, 2, 10_000)
    parents: int = within(5, 1, 1000)
    first: int = within(16, 1, 100_000)
    most_told: int = within(512, 2, 4096)
    noise: float = within(0.1, 1e-4, 100)


@dataclass(frozen=True)
class AgentConfig(QConfig):
    """The agent: which one, and what each takes.

    The fields of `QConfig` are those of `q`, the paper's agent. All agents take the
    number of iterations from `schedule`, and `random`, `evolution` and `local` draw
    their random blocks as `exploration` says. `random` takes `distinct` too.

    Attributes:
      name: `q` (the paper), `q_plus` (the same, with what our measurements show to
        help), `random`, `evolution`, `local` (local search with restarts) or `q_model`
        (a model of the rewards chooses among what Q-learning and mutation write).
      goal: `reward`: one block of the largest reward; `front` (ours): many, of which
        none has both a smaller reward and a larger `reward.cost` than another. Not with
        `local`.
      second_cost: another cost of the network, or `none`: with `agent.goal=front`, no
        block may have less reward and more of both costs than another (ours).
      q_plus: the fields of `q_plus`; its schedule is stretched over the iterations.
      evolution: the fields of `evolution`.
      q_model: the fields of `q_model`; its schedule is stretched over the iterations.
    """

    name: str = one_of("q", "q_plus", "random", "evolution", "local", "q_model")
    goal: str = one_of("reward", "front")
    second_cost: str = one_of("none", "flops", "params", "latency")
    q_plus: QConfig = QConfig(
        schedule="1.0:5,0.3:5,0.02:10",
        alpha=0.2,
        replay_updates=256,
        spread=True,
        distinct=True,
        replay_newest=2,
        replay_best=3,
    )
    evolution: EvolutionConfig = EvolutionConfig()
    q_model: QModelConfig = QModelConfig(
        schedule="1.0:5,0.3:5,0.02:10",
        alpha=0.2,
        replay_updates=256,
        spread=True,
        distinct=True,
        replay_newest=2,
        replay_best=3,
    )

    def __post_init__(self) -> None:
        """Check every field, and what fields say of each other."""
        super().__post_init__()
        is_known = self.goal == "reward" or self.name != "local"
        check("agent.goal", self.goal, is_known, "reward with agent.name=local")
        second = self.second_cost
        ok = second == "none" or self.goal == "front"
        check("agent.second_cost", second, ok, "none without agent.goal=front")

    @property
    def told(self) -> tuple[int, ...]:
        """Shape of what the agent is told of a block: `()` of one reward, or `(V,)`."""
        if self.goal == "reward":
            return ()
        return (2,) if self.second_cost == "none" else (3,)

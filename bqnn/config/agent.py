"""The part of the configuration that the agents read."""

from dataclasses import dataclass

from bqnn.config import schedule
from bqnn.config.checks import LARGE, check, one_of, within

MOST_DRAWS = 10_000_000
"""Draws from the replay memory in one iteration, those that biases leave out too."""


@dataclass(frozen=True)
class QConfig:
    """Tabular Q-learning (the paper, table 2), and switches.

    Attributes:
      schedule: epsilon by iteration, `epsilon:iterations,...`.
      alpha: learning rate.
      gamma: discount.
      replay_updates: blocks drawn from the replay memory, and so updates, per
        iteration; 0 updates from the batch just told instead.
      exploration: how a random action is drawn: uniformly over all legal `codes`, or
        over `types` first (ours; the paper is silent).
      shaped: whether intermediate rewards are r_T / T instead of 0.
      spread: whether the last reward is r_T / T too, instead of r_T (ours).
      q_init: the initial Q-value (ours).
      unique: whether a block that was told is not asked again while a few tries find
        another (ours).
      optimism: added to the Q-value of an action told n times, divided by 1 + n, when
        blocks are written (ours).
      replay_newest: replay takes the newest of so many draws (ours).
      replay_best: replay takes the best rewarded of so many draws (ours).
    """

    schedule: str = schedule.PAPER
    alpha: float = 0.01
    gamma: float = 1.0
    replay_updates: int = 64
    exploration: str = "codes"
    shaped: bool = True
    spread: bool = False
    q_init: float = 0.0
    unique: bool = False
    optimism: float = 0.0
    replay_newest: int = 1
    replay_best: int = 1

    def __post_init__(self) -> None:
        """Validate the values."""
        schedule.parse(self.schedule)
        check("agent.alpha", self.alpha, 0 < self.alpha <= 1, "a number in (0, 1]")
        one_of("agent.exploration", self.exploration, ("codes", "types"))
        within(
            "agent",
            self,
            {
                "gamma": (0, 1),
                "replay_updates": (0, 100_000),
                "q_init": (-LARGE, LARGE),
                "optimism": (0, LARGE),
                "replay_newest": (1, 1000),
                "replay_best": (1, 1000),
            },
        )
        draws = self.replay_updates * self.replay_newest * self.replay_best
        check(
            "agent.replay_updates * replay_newest * replay_best",
            draws,
            draws <= MOST_DRAWS,
            f"{MOST_DRAWS:,} at most",
        )


@dataclass(frozen=True)
class EvolutionConfig:
    """Regularized evolution (Real et al., AAAI 2019).

    Attributes:
      population: P, blocks alive.
      sample: S, blocks of which the best is the parent.
    """

    population: int = 10
    sample: int = 3

    def __post_init__(self) -> None:
        """Validate the values."""
        ranges = {"population": (1, 100_000), "sample": (1, 10_000)}
        within("agent.evolution", self, ranges)


@dataclass(frozen=True)
class AgentConfig(QConfig):
    """The agent: which one, and what each takes.

    The fields of `QConfig` are those of `q`, the paper's agent. All agents take the
    number of iterations from `schedule`, and `random` and `evolution` draw their random
    blocks as `exploration` says.

    Attributes:
      name: `q` (the paper), `q_plus` (the same, with what our measurements show to
        help), `random` or `evolution`.
      q_plus: the fields of `q_plus`; its schedule is stretched over the iterations.
      evolution: the fields of `evolution`.
    """

    name: str = "q"
    q_plus: QConfig = QConfig(
        schedule="1.0:5,0.3:5,0.02:10",
        alpha=0.2,
        replay_updates=256,
        spread=True,
        unique=True,
        replay_newest=2,
        replay_best=3,
    )
    evolution: EvolutionConfig = EvolutionConfig()

    def __post_init__(self) -> None:
        """Validate the values."""
        super().__post_init__()
        one_of("agent.name", self.name, ("q", "q_plus", "random", "evolution"))

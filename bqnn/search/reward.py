"""The reward: accuracy, corrected for FLOPs and density (the paper, the reward)."""

import math

from bqnn.config import RewardConfig
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.networks.cost import Density


def reward(
    accuracy: float,
    flops: int,
    density: Density,
    reference: tuple[int, Density],
    config: RewardConfig,
) -> float:
    """Compute `ACC - mu log(FLOPs) - rho log(Density)`, ACC in per cent.

    Divided by 100, with FLOPs and density relative to a reference block, so that the
    reference's reward is its accuracy (ours; constants do not change the ranking).

    Args:
      accuracy: as a fraction.
      flops: of the block.
      density: of the block.
      reference: FLOPs and density of the reference block, one 3x3 PCC.
      config: the weights mu and rho.
    """
    penalty_flops, penalty_density = penalties(flops, density, reference, config)
    return accuracy - (penalty_flops + penalty_density) / 100


def penalties(
    flops: int,
    density: Density,
    reference: tuple[int, Density],
    config: RewardConfig,
) -> tuple[float, float]:
    """Compute the FLOPs and density terms of the reward, in points of accuracy."""
    base_flops, base_density = reference
    return (
        config.mu * math.log(flops / base_flops),
        config.rho * math.log(density.value / base_density.value),
    )


def reward_of(
    candidate: Candidate,
    evaluation: Evaluation,
    num_classes: int,
    reference: tuple[int, Density],
    config: RewardConfig,
) -> float:
    """Reward a candidate for its evaluation; without an accuracy, as a random guess.

    Args:
      candidate: what was evaluated.
      evaluation: its final one.
      num_classes: of the data set; a random guess is right once in so many times.
      reference: FLOPs and density of the reference block.
      config: the weights mu and rho.
    """
    accuracy = last_accuracy(evaluation)
    return reward(
        1 / num_classes if accuracy is None else accuracy,
        candidate.block_flops,
        Density(candidate.edges, candidate.nodes),
        reference,
        config,
    )


def last_accuracy(evaluation: Evaluation) -> float | None:
    """Return the validation accuracy after the last epoch, None if it has none."""
    if evaluation.status in (Status.OK, Status.REUSED) and evaluation.accuracy:
        return evaluation.accuracy[-1]
    return None

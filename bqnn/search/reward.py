"""The reward: accuracy, corrected for FLOPs and density (the paper, the reward)."""

import math
from collections.abc import Callable

from bqnn.config import NetworkConfig, RewardConfig
from bqnn.evaluation.records import (
    Candidate,
    Evaluation,
    Status,
    stopped_at,
    taught,
)
from bqnn.networks import cost
from bqnn.networks.cost import Density
from bqnn.networks.plan import ImageSpec, plan

Reward = Callable[[Candidate, Evaluation], float]
"""Rewards a candidate for its final evaluation."""


def make_reward(
    config: RewardConfig, network: NetworkConfig, images: ImageSpec
) -> Reward:
    """Make `ACC - mu log(FLOPs) - rho log(Density)`, ACC in per cent.

    Divided by 100, with FLOPs and density relative to a reference block, one 3x3 PCC,
    so that the reference's reward is its accuracy (ours; constants do not change the
    ranking). A candidate without an accuracy is rewarded as a random guess; one that
    stopped at a rung as if it had gained from there what others did.

    Args:
      config: the weights mu and rho.
      network: decides the FLOPs of the reference block.
      images: decide them too; a random guess is right once in `images.num_classes`.
    """
    guess = 1 / images.num_classes
    reference = reference_block(network, images)

    def reward(candidate: Candidate, evaluation: Evaluation) -> float:
        accuracy = _foretold(candidate, evaluation)
        density = Density(candidate.edges, candidate.nodes)
        flops_term, density_term = penalties(
            candidate.block_flops, density, reference, config
        )
        accuracy = guess if accuracy is None else accuracy
        return accuracy - (flops_term + density_term) / 100

    return reward


def reference_block(network: NetworkConfig, images: ImageSpec) -> tuple[int, Density]:
    """Return FLOPs and density of the reference block."""
    reference = plan(cost.REFERENCE_BLOCK, network, images)
    return cost.block_flops(reference), cost.density(cost.REFERENCE_BLOCK)


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


def last_accuracy(candidate: Candidate, evaluation: Evaluation) -> float | None:
    """Return the validation accuracy after the last epoch.

    Returns:
      None if there is none: training failed, or stopped at a rung.
    """
    stopped = evaluation.status == Status.STOPPED or stopped_at(candidate, evaluation)
    return evaluation.accuracy[-1] if taught(evaluation) and not stopped else None


def _foretold(candidate: Candidate, evaluation: Evaluation) -> float | None:
    """Return the accuracy after the last epoch, foretold if training stopped before."""
    if not taught(evaluation):
        return None
    rung = stopped_at(candidate, evaluation)
    return min(1.0, evaluation.accuracy[-1] + (rung.gain if rung else 0.0))

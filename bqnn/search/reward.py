"""The reward: accuracy, corrected for FLOPs and density (the paper, the reward)."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

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
from bqnn.search.calibration import Fit, foretell, values_of
from bqnn.search.costs import log_cost

Reward = Callable[[Candidate, Evaluation], float]
"""Rewards a candidate for its final evaluation."""

# Above it, a reward would leave float32.
_LARGEST_POWER = 80.0


def make_reward(
    config: RewardConfig, network: NetworkConfig, images: ImageSpec
) -> Reward:
    """Make `ACC - mu log(FLOPs) - rho log(Density)`, ACC in per cent.

    Divided by 100, with FLOPs and density relative to a reference block, one 3x3 PCC,
    so that the reference's reward is its accuracy (ours; constants do not change the
    ranking). A candidate without an accuracy is rewarded as a random guess; one that
    stopped at a rung as if it had gained from there what others did. All of it is
    multiplied where there is a target (`constrained`).

    Args:
      config: the weights mu and rho, whether there are any, and the target.
      network: decides the FLOPs of the reference block.
      images: decide them too; a random guess is right once in `images.num_classes`.
    """
    guess = 1 / images.num_classes
    reference = reference_block(network, images)

    def reward(candidate: Candidate, evaluation: Evaluation) -> float:
        whole = _as_if_ended(candidate, evaluation)
        density = Density(candidate.edges, candidate.nodes)
        flops_term, density_term = penalties(
            candidate.block_flops, density, reference, config
        )
        accuracy = guess if whole is None else whole.final
        return accuracy - (flops_term + density_term) / 100

    return constrained(reward, config)


def learned_reward(fitted: Fit, num_classes: int) -> Reward:
    """Make the reward that is the final accuracy foretold (ours).

    A candidate without an accuracy is rewarded as a random guess. Nothing is foretold
    for it: it may be refused for the size that a fit rewards.

    Args:
      fitted: to blocks trained in full.
      num_classes: a random guess is right once in so many.
    """

    def reward(candidate: Candidate, evaluation: Evaluation) -> float:
        whole = _as_if_ended(candidate, evaluation)
        if whole is None:
            return 1 / num_classes
        values = values_of(fitted.terms, candidate, whole)
        return float(foretell(fitted, np.array(values)))

    return reward


def constrained(reward: Reward, config: RewardConfig) -> Reward:
    """Multiply a reward by `(cost / target) ** w` (Tan et al., *MnasNet*, CVPR 2019).

    A reward below 0 is divided instead, so that a cost above the target never raises
    it (ours). A candidate without an accuracy, rewarded as a random guess, gets no more
    for being small (ours).

    Args:
      reward: of any kind.
      config: cost, target and both w.

    Returns:
      The reward itself if there is no target.
    """
    if config.target is None:
        return reward
    log_target = math.log(config.target)

    def rewarded(candidate: Candidate, evaluation: Evaluation) -> float:
        value = reward(candidate, evaluation)
        excess = log_cost(config.cost, candidate) - log_target
        power = excess * (config.above if excess > 0 else config.below)
        if not taught(evaluation):
            power = min(power, 0.0)
        factor = math.exp(min(_LARGEST_POWER, power if value > 0 else -power))
        return value * factor

    return rewarded


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
    if config.kind != "paper":
        return 0.0, 0.0
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
    return evaluation.final if taught(evaluation) and not stopped else None


def _as_if_ended(candidate: Candidate, evaluation: Evaluation) -> Evaluation | None:
    """Add to a training that stopped at a rung what others have gained from there.

    Returns:
      The evaluation itself if it did not stop; None if it has no accuracy.
    """
    if not taught(evaluation):
        return None
    rung = stopped_at(candidate, evaluation)
    if rung is None:
        return evaluation
    foretold = min(1.0, evaluation.accuracy[-1] + rung.gain)
    return dataclasses.replace(evaluation, accuracy=(*evaluation.accuracy, foretold))

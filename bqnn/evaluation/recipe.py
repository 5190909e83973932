"""Recipe of a candidate: what it is trained with, and whether it is trained at all."""

import dataclasses
import hashlib

from bqnn.config import Config
from bqnn.evaluation.records import Candidate
from bqnn.networks import cost
from bqnn.networks.plan import ImageSpec
from bqnn.space.nsc import Block


def config_for(candidate: Candidate, config: Config) -> Config:
    """Return the configuration of a candidate's training.

    A training in full is one by the early-stop recipe with more epochs: the learning
    rate decays as often, and there is as much more time. It stops at no rung. A
    candidate that may be trained several times has as much more time too.

    Args:
      candidate: to be trained.
      config: of the search.
    """
    train, budget = config.train, config.budget
    if candidate.epochs is None:
        timeout = min(1e9, budget.timeout * train.repeats)
        return dataclasses.replace(
            config, budget=dataclasses.replace(budget, timeout=timeout)
        )
    longer = candidate.epochs / train.epochs
    return dataclasses.replace(
        config,
        train=dataclasses.replace(
            train,
            epochs=candidate.epochs,
            decay_epochs=max(1, round(train.decay_epochs * longer)),
            rungs=(),
            repeats=1,
        ),
        # Which asks for fewer epochs than in full, if it is learnt.
        reward=dataclasses.replace(config.reward, kind="accuracy"),
        budget=dataclasses.replace(budget, timeout=min(1e9, budget.timeout * longer)),
    )


def over_budget(
    block: Block, latency: int | None, config: Config, images: ImageSpec
) -> str:
    """Describe what of a block's network exceeds the budget; empty if nothing does.

    Args:
      block: to be stacked and trained.
      latency: of its network for one image, in nanoseconds, if it is known.
      config: network, recipe and budget.
      images: shape of the images, and number of classes.
    """
    whole, _ = cost.stacked_cost(block, config.network, images)
    train = config.train
    return cost.over_budget(whole, train.batch, train.dtype, config.budget, latency)


def repeat_seed(seed: int, number: int) -> int:
    """Make the seed of a candidate's training `number`, from 1, after the first.

    Args:
      seed: of its first training.
      number: which one.
    """
    digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1

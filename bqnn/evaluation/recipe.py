"""Recipe of a candidate: the configuration that it is trained with."""

import dataclasses

from bqnn.config import Config
from bqnn.evaluation.records import Candidate


def config_for(candidate: Candidate, config: Config) -> Config:
    """Return the configuration of a candidate's training.

    A training in full is one by the early-stop recipe with more epochs: the learning
    rate decays as often, and there is as much more time. It stops at no rung.

    Args:
      candidate: to be trained.
      config: of the search.
    """
    if candidate.epochs is None:
        return config
    train, budget = config.train, config.budget
    longer = candidate.epochs / train.epochs
    return dataclasses.replace(
        config,
        train=dataclasses.replace(
            train,
            epochs=candidate.epochs,
            decay_epochs=max(1, round(train.decay_epochs * longer)),
            rungs=(),
        ),
        # Which asks for fewer epochs than in full, if it is learnt.
        reward=dataclasses.replace(config.reward, kind="accuracy"),
        budget=dataclasses.replace(budget, timeout=min(1e9, budget.timeout * longer)),
    )

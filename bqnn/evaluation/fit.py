"""Fit: the early-stop recipe, which trains a network for a few epochs.

The paper, early stop: Adam, a learning rate that decays every few epochs, no
augmentation, and a restart if the first epoch fails.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bqnn.config import TrainConfig
from bqnn.data import Dataset
from bqnn.data.batches import all_batches, epoch_batches
from bqnn.engines.engine import Engine
from bqnn.evaluation.records import Rung, missed


class Fit(NamedTuple):
    """The outcome of a training.

    Attributes:
      accuracy: validation accuracy after each epoch, as a fraction; up to the rung at
        which training stopped, if it did.
      finite: whether every loss was finite.
      restarts: number of restarts.
      seconds: wall time by phase: prepare, trace, compile, train, evaluate.
    """

    accuracy: tuple[float, ...]
    finite: bool
    restarts: int
    seconds: dict[str, float]


def fit(
    engine: Engine,
    state: Any,
    config: TrainConfig,
    dataset: Dataset,
    seed: int,
    on_step: Callable[[], None] = lambda: None,
    rungs: Sequence[Rung] = (),
) -> Fit:
    """Train a network by the early-stop recipe.

    If the first epoch ends with a loss that is not finite, or less accurate than a
    random guess, training restarts from the same weights with a smaller learning rate.

    Args:
      engine: made from plan, recipe and data.
      state: the result of `engine.init`; consumed.
      config: the recipe.
      dataset: the images to train on, and to validate on.
      seed: of the state, and of the order of the images.
      on_step: called before every step; may raise to end the training.
      rungs: training ends at the first that is not reached.
    """
    recipe = _Recipe(engine, config, dataset, seed, on_step, rungs)
    restarts = 0
    while True:
        # The rate is an argument of the compiled step, so a restart compiles nothing.
        rate = config.learning_rate * config.restart_decay**restarts
        may_restart = restarts < config.restarts
        accuracy, finite = recipe.run(state, rate, may_restart)
        if accuracy is not None:
            return Fit(accuracy, finite, restarts, engine.clock.seconds)
        state = engine.init(seed)
        restarts += 1


class _Recipe(NamedTuple):
    """The training of one network."""

    engine: Engine
    config: TrainConfig
    dataset: Dataset
    seed: int
    on_step: Callable[[], None]
    rungs: Sequence[Rung]

    def run(
        self, state: Any, learning_rate: float, may_restart: bool
    ) -> tuple[tuple[float, ...] | None, bool]:
        """Train once.

        Returns:
          Accuracy after each epoch, and whether every loss was finite. The accuracy is
          None if training must restart.
        """
        accuracy: list[float] = []
        for epoch in range(self.config.epochs):
            decays = epoch // self.config.decay_epochs
            rate = learning_rate * self.config.decay**decays
            state, finite = self._epoch(state, epoch, rate)
            if finite:
                accuracy.append(self._accuracy(state))
            failed = not finite or accuracy[-1] < 1 / self.dataset.num_classes
            if epoch == 0 and failed and may_restart:
                return None, finite
            if not finite or missed(self.rungs, accuracy):
                return tuple(accuracy), finite
        return tuple(accuracy), True

    def _epoch(self, state: Any, epoch: int, rate: float) -> tuple[Any, bool]:
        """Train on every image of the training part once."""
        total = len(self.dataset.train.labels)
        batches = epoch_batches(total, self._batch, self.seed, epoch)
        state, losses = self.engine.train(state, batches, rate, self.on_step)
        return state, bool(np.isfinite(losses).all())

    def _accuracy(self, state: Any) -> float:
        """Return the fraction of validation images that are classified right."""
        total = len(self.dataset.validation.labels)
        batches = all_batches(total, self._batch)
        return self.engine.count_correct(state, batches) / total

    @property
    def _batch(self) -> int:
        return min(self.config.batch, len(self.dataset.train.labels))

"""The early-stop recipe: train a network briefly, measure it.

The paper, early stop: Adam, a learning rate that falls every few epochs, no
augmentation, and another start when the first epoch fails.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bqnn.config import TrainConfig
from bqnn.data import Dataset
from bqnn.data.batches import all_batches, epoch_batches
from bqnn.engines.engine import Engine


class Fit(NamedTuple):
    """The outcome of a training.

    Attributes:
      accuracy: on the validation part, as a fraction, after each epoch.
      finite: whether every loss was.
      restarts: how often training began again.
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
) -> Fit:
    """Train a network by the early-stop recipe.

    When the first epoch ends worse than a random guess, or in a loss that is not
    finite, training begins again from the same weights with a smaller learning rate.

    Args:
      engine: made from plan, recipe, data and seed.
      state: what `engine.init` returned; taken over.
      config: the recipe.
      dataset: its training part is learnt from, its validation part measured on.
      seed: of the order of the images.
      on_step: called before every step; may raise to end the training.
    """
    recipe = _Recipe(engine, config, dataset, seed, on_step)
    restart = 0
    while True:
        rate = config.learning_rate * config.restart_decay**restart
        patient = restart == config.restarts
        accuracy, finite = recipe.run(state, rate, patient)
        if accuracy is not None:
            return Fit(accuracy, finite, restart, engine.clock.seconds)
        state = engine.init()
        restart += 1


class _Recipe(NamedTuple):
    """One candidate's training."""

    engine: Engine
    config: TrainConfig
    dataset: Dataset
    seed: int
    on_step: Callable[[], None]

    def run(
        self, state: Any, learning_rate: float, patient: bool
    ) -> tuple[tuple[float, ...] | None, bool]:
        """Train once; None for the accuracy if the first epoch asks for a restart."""
        accuracy: list[float] = []
        for epoch in range(self.config.epochs):
            decays = epoch // self.config.decay_epochs
            rate = learning_rate * self.config.decay**decays
            state, finite = self._epoch(state, epoch, rate)
            if finite:
                accuracy.append(self._accuracy(state))
            bad = not finite or accuracy[-1] < 1 / self.dataset.num_classes
            if epoch == 0 and bad and not patient:
                return None, finite
            if not finite:
                return tuple(accuracy), False
        return tuple(accuracy), True

    def _epoch(self, state: Any, epoch: int, rate: float) -> tuple[Any, bool]:
        """Pass over the training part once."""
        total = len(self.dataset.train.labels)
        batches = epoch_batches(total, self._batch, self.seed, epoch)
        state, losses = self.engine.train(state, batches, rate, self.on_step)
        return state, bool(np.isfinite(losses).all())

    def _accuracy(self, state: Any) -> float:
        """Measure the fraction of validation images that are classified right."""
        total = len(self.dataset.validation.labels)
        batches = all_batches(total, self._batch)
        return self.engine.count_correct(state, batches) / total

    @property
    def _batch(self) -> int:
        return min(self.config.batch, len(self.dataset.train.labels))

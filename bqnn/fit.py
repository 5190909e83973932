"""The early-stop recipe: compile a network, train it briefly, measure it.

The paper, sections 3.3 and 4.2: Adam, a learning rate that falls every few epochs, no
augmentation, and another start when the first epoch fails.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from bqnn.config import TrainConfig
from bqnn.data import Dataset
from bqnn.plan import NetworkPlan
from bqnn.train import TrainState, init_state, make_steps


class Programs(NamedTuple):
    """The compiled programs of one network.

    Attributes:
      train_step: (state, images, labels, drawn, learning rate) -> (state, loss). Takes
        over the buffers of the state given.
      count_correct: (state, images, labels, drawn, counted) -> how many of those
        counted are right.
    """

    train_step: Callable[..., tuple[TrainState, Array]]
    count_correct: Callable[..., Array]


class Fit(NamedTuple):
    """The outcome of a training.

    Attributes:
      accuracy: on the validation part, as a fraction, after each epoch.
      finite: whether every loss was.
      restarts: how often training began again.
      seconds: wall time by phase: trace, compile, train, evaluate.
    """

    accuracy: tuple[float, ...]
    finite: bool
    restarts: int
    seconds: dict[str, float]


def fit(
    plan: NetworkPlan,
    config: TrainConfig,
    dataset: Dataset,
    seed: int,
    on_step: Callable[[], None] = lambda: None,
) -> Fit:
    """Train a network by the early-stop recipe.

    When the first epoch ends worse than a random guess, or in a loss that is not
    finite, training begins again from the same weights with a smaller learning rate.

    Args:
      plan: the network.
      config: the recipe.
      dataset: its training part is learnt from, its validation part measured on.
      seed: of initialisation and of the order of the images.
      on_step: called before every step; may raise to end the training.
    """
    trainer = _Trainer(plan, config, dataset, seed, on_step)
    restart = 0
    while True:
        rate = config.learning_rate * config.restart_decay**restart
        accuracy, finite = trainer.run(rate, patient=restart == config.restarts)
        if accuracy is not None:
            return Fit(accuracy, finite, restart, trainer.seconds)
        restart += 1


class _Trainer:
    """Programs and device-resident data of one candidate, and the time they took."""

    def __init__(
        self,
        plan: NetworkPlan,
        config: TrainConfig,
        dataset: Dataset,
        seed: int,
        on_step: Callable[[], None],
    ) -> None:
        self.config, self.dataset, self.seed = config, dataset, seed
        self.on_step = on_step
        self.seconds: dict[str, float] = {}
        self.init = lambda: init_state(plan, config, seed)
        self.train, self.validation = jax.device_put(
            (dataset.train, dataset.validation)
        )
        self.batch = min(config.batch, len(dataset.train.labels))
        self.programs = self._compile(plan)

    def run(
        self, learning_rate: float, patient: bool
    ) -> tuple[tuple[float, ...] | None, bool]:
        """Train once; None for the accuracy if the first epoch asks for a restart."""
        state, accuracy = self.init(), []
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

    def _epoch(
        self, state: TrainState, epoch: int, rate: float
    ) -> tuple[TrainState, bool]:
        """Pass over the training part once, the last partial batch left out."""
        rng = np.random.Generator(np.random.Philox([self.seed, epoch]))
        order = rng.permutation(len(self.train.labels)).astype(np.int32)
        losses: list[Array] = []
        with self._timed("train"):
            try:
                for start in range(0, len(order) - self.batch + 1, self.batch):
                    # Two steps in flight keep the device busy; with more, a timeout or
                    # an interrupt would be heard long after it came.
                    jax.block_until_ready(losses[-2:-1])
                    self.on_step()
                    drawn = order[start : start + self.batch]
                    state, loss = self.programs.train_step(
                        state, *self.train, drawn, np.float32(rate)
                    )
                    losses.append(loss)
            finally:
                # A process that exits while XLA computes crashes.
                jax.block_until_ready(losses)
            finite = bool(np.isfinite(jax.device_get(losses)).all())
        return state, finite

    def _accuracy(self, state: TrainState) -> float:
        """Measure the fraction of validation images that are classified right."""
        total = len(self.validation.labels)
        padded = -(-total // self.batch) * self.batch
        places = np.arange(padded, dtype=np.int32)
        counted = places < total
        drawn = np.minimum(places, total - 1)
        with self._timed("evaluate"):
            correct = [
                self.programs.count_correct(
                    state, *self.validation, drawn[at], counted[at]
                )
                for start in range(0, padded, self.batch)
                for at in [slice(start, start + self.batch)]
            ]
            return int(np.sum(jax.device_get(correct))) / total

    def _compile(self, plan: NetworkPlan) -> Programs:
        dataset = self.dataset
        steps = make_steps(plan, self.config, dataset.mean, dataset.std)
        state, drawn = self.init(), np.zeros(self.batch, np.int32)
        with self._timed("trace"):
            lowered = (
                jax.jit(steps[0], donate_argnums=0).lower(
                    state, *self.train, drawn, np.float32(0)
                ),
                jax.jit(steps[1]).lower(state, *self.validation, drawn, drawn == 0),
            )
        with self._timed("compile"):
            return Programs(*(program.compile() for program in lowered))

    @contextlib.contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        spent = time.perf_counter() - start
        self.seconds[phase] = self.seconds.get(phase, 0.0) + spent

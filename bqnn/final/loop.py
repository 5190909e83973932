"""Loop of a full training: a generator of events that a program shows and logs."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from bqnn import parallel
from bqnn.errors import BqnnError
from bqnn.final.checkpoint import Checkpoints, Saved
from bqnn.final.feed import Feed
from bqnn.final.recipe import learning_rate
from bqnn.final.step import (
    Batch,
    Setup,
    State,
    Totals,
    init_state,
    make_eval_step,
    make_train_step,
    zero_totals,
)

# Several processes must stop at the same step. They ask each other every 16 steps.
_AGREE_EVERY = 16


class DivergedError(BqnnError):
    """The loss is not finite."""


class Stepped(NamedTuple):
    """A step has started.

    Attributes:
      epoch: index of the epoch, from 0.
      step: index of the step in its epoch, from 0.
      steps: number of steps in an epoch.
    """

    epoch: int
    step: int
    steps: int


class EpochEnded(NamedTuple):
    """An epoch has ended.

    Attributes:
      row: `epoch` (from 1), `step`, `learning_rate`, `loss` and `accuracy` on the
        training images as they were seen, `seconds`, `images_per_second`; with a
        validation part also `validation_loss` and `validation_accuracy`.
      recorded: whether the row is of an earlier run, read from its checkpoint.
    """

    row: dict[str, Any]
    recorded: bool


Event = Stepped | EpochEnded


class Training:
    """A training, from its first step or from its last checkpoint."""

    def __init__(self, setup: Setup, feed: Feed, checkpoints: Checkpoints) -> None:
        """Restore the last checkpoint if there is one.

        Args:
          setup: the parts that a step is made of.
          feed: yields the batches.
          checkpoints: where the state is saved.

        Raises:
          CheckpointError: if it cannot be read, or is of another network or recipe.
        """
        self._setup, self._feed, self._checkpoints = setup, feed, checkpoints
        first = init_state(setup)
        saved = checkpoints.restore(first) or Saved(first, [])
        self._step = int(saved.state.step)
        self._state: State = parallel.replicate(saved.state)
        self._data = parallel.replicate(feed.data)
        self._history = saved.history
        self._train = parallel.pmap_replicas(make_train_step(setup), donate=(0,))
        self._eval = parallel.pmap_replicas(make_eval_step(setup))

    @property
    def history(self) -> list[dict[str, Any]]:
        """One row for each epoch done, as in `EpochEnded`."""
        return list(self._history)

    def run(self, interrupted: Callable[[], bool]) -> Iterator[Event]:
        """Train to the end.

        Args:
          interrupted: returns whether to stop; called before every step.

        Yields:
          Events; first the epochs that an earlier run has done.

        Raises:
          KeyboardInterrupt: if interrupted, after the state is saved.
          DivergedError: if the loss of an epoch is not finite.
          CheckpointError: if the state cannot be saved.
        """
        yield from (EpochEnded(row, recorded=True) for row in self._history)
        config = self._setup.config
        for epoch in range(self._step // self._feed.steps, config.epochs):
            yield from self._epoch(epoch, interrupted)
            if (epoch + 1) % config.checkpoint_every == 0 or epoch + 1 == config.epochs:
                self._save()
        self._checkpoints.wait()

    def evaluate(self, batches: Iterator[Batch]) -> dict[str, float] | None:
        """Evaluate the network on the images of all processes.

        Args:
          batches: batches of this process, from `Feed.evaluation`.

        Returns:
          Mean `loss` and `accuracy`; None if there are no images.
        """
        found: list[Totals] = []
        for batch in batches:
            jax.block_until_ready(found[-2:-1])  # two batches in flight, as in training
            found.append(self._eval(self._state.variables, parallel.shard(batch)))
        if not found:
            return None
        parts = [parallel.unreplicate(totals) for totals in found]
        return _means(Totals(*(sum(column) for column in zip(*parts, strict=True))))

    def _epoch(self, epoch: int, interrupted: Callable[[], bool]) -> Iterator[Event]:
        """Train the steps of an epoch that are left, then evaluate."""
        start, first = time.perf_counter(), self._step % self._feed.steps
        if first == 0:
            totals = parallel.replicate(zero_totals())
            self._state = self._state._replace(totals=totals)
        losses: list[Any] = []
        for index, batch in enumerate(self._feed.train(epoch, first), first):
            # Two steps in flight keep the devices busy. With more, the loop would
            # notice an interrupt long after it came.
            jax.block_until_ready(losses[-2:-1])
            if self._must_stop(interrupted):
                self._save()
                self._checkpoints.wait()
                raise KeyboardInterrupt
            self._state, loss = self._train(
                self._state, self._data, parallel.shard(batch)
            )
            losses.append(loss)
            self._step += 1
            yield Stepped(epoch, index, self._feed.steps)
        jax.block_until_ready(losses[-1:])
        seconds = time.perf_counter() - start
        row = self._row(epoch, len(losses), seconds)
        self._history.append(row)
        yield EpochEnded(row, recorded=False)

    def _row(self, epoch: int, steps: int, seconds: float) -> dict[str, Any]:
        config = self._setup.config
        training = _means(parallel.unreplicate(self._state.totals))
        if not np.isfinite(training["loss"]):
            raise DivergedError(
                f"the loss of epoch {epoch + 1} is {training['loss']}: training has "
                "diverged; try a smaller train.learning_rate, train.warmup or "
                "train.clip in another --workdir"
            )
        updates = self._step // config.accumulate
        rate = learning_rate(config, self._feed.steps // config.accumulate)
        row = {
            "epoch": epoch + 1,
            "step": self._step,
            "learning_rate": float(np.asarray(rate(max(0, updates - 1)))),
            **training,
            "seconds": seconds,
            "images_per_second": steps * config.step_batch / seconds,
        }
        validation = self.evaluate(self._feed.evaluation()) or {}
        return row | {f"validation_{name}": value for name, value in validation.items()}

    def _must_stop(self, interrupted: Callable[[], bool]) -> bool:
        if jax.process_count() == 1:
            return interrupted()
        agree = self._step % _AGREE_EVERY == 0
        return agree and parallel.any_process(interrupted())

    def _save(self) -> None:
        accuracy = None
        if self._history:
            accuracy = self._history[-1].get("validation_accuracy")
        saved = Saved(parallel.unreplicate(self._state), self._history)
        self._checkpoints.save(self._step, saved, accuracy)


def _means(totals: Totals) -> dict[str, float]:
    images = int(np.asarray(totals.images))
    return {
        "loss": float(np.asarray(totals.loss)) / images,
        "accuracy": int(np.asarray(totals.correct)) / images,
    }

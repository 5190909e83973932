"""The loop of a full training: a generator of events that a program shows and logs."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from bqnn.errors import BqnnError
from bqnn.final import parallel
from bqnn.final.checkpoint import Checkpoints, Saved
from bqnn.final.feed import Feed
from bqnn.final.recipe import learning_rate
from bqnn.final.step import (
    Batch,
    Setup,
    State,
    Totals,
    init_state,
    make_measure_step,
    make_train_step,
    no_totals,
)

# Steps between agreements of several processes on whether to stop.
_AGREE_EVERY = 16


class DivergedError(BqnnError):
    """The loss is not finite."""


class Stepped(NamedTuple):
    """A step was started.

    Attributes:
      epoch: that it belongs to, from 0.
      step: its number in the epoch, from 0.
      steps: of an epoch.
    """

    epoch: int
    step: int
    steps: int


class EpochEnded(NamedTuple):
    """An epoch ended, and was measured.

    Attributes:
      row: epoch (from 1), step, learning_rate, loss, accuracy (of training, as it
        went), seconds, images_per_second; with a validation part also validation_loss
        and validation_accuracy.
      recorded: whether it was read from a checkpoint.
    """

    row: dict[str, Any]
    recorded: bool


Event = Stepped | EpochEnded


class Training:
    """One training, from its first step or from its last checkpoint."""

    def __init__(self, setup: Setup, feed: Feed, checkpoints: Checkpoints) -> None:
        """Restore the last checkpoint if there is one.

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
        self._measure = parallel.pmap_replicas(make_measure_step(setup))

    @property
    def history(self) -> list[dict[str, Any]]:
        """Rows of the epochs done."""
        return list(self._history)

    def run(self, interrupted: Callable[[], bool]) -> Iterator[Event]:
        """Train to the end.

        Args:
          interrupted: tells whether to stop; it is asked before every step.

        Yields:
          Events: of epochs done in an earlier run first.

        Raises:
          KeyboardInterrupt: when stopped; the state is saved.
          DivergedError: when the loss of an epoch is not finite.
          CheckpointError: if saving fails.
        """
        yield from (EpochEnded(row, recorded=True) for row in self._history)
        config = self._setup.config
        for epoch in range(self._step // self._feed.steps, config.epochs):
            yield from self._epoch(epoch, interrupted)
            if (epoch + 1) % config.checkpoint_every == 0 or epoch + 1 == config.epochs:
                self._save()
        self._checkpoints.wait()

    def measure(self, batches: Iterator[Batch]) -> dict[str, float] | None:
        """Measure the network over images of all processes.

        Args:
          batches: this process's, as `Feed.measured` yields them.

        Returns:
          Mean loss and accuracy; None if there are no images.
        """
        found: list[Totals] = []
        for batch in batches:
            jax.block_until_ready(found[-2:-1])
            found.append(self._measure(self._state.variables, parallel.shard(batch)))
        if not found:
            return None
        parts = [parallel.unreplicate(totals) for totals in found]
        return _means(Totals(*(sum(column) for column in zip(*parts, strict=True))))

    def _epoch(self, epoch: int, interrupted: Callable[[], bool]) -> Iterator[Event]:
        start, first = time.perf_counter(), self._step % self._feed.steps
        if first == 0:
            totals = parallel.replicate(no_totals())
            self._state = self._state._replace(totals=totals)
        losses: list[Any] = []
        for number, batch in enumerate(self._feed.train(epoch, first), first):
            # Two steps in flight keep the devices busy; with more, an interrupt would
            # be heard long after it came.
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
            yield Stepped(epoch, number, self._feed.steps)
        jax.block_until_ready(losses[-1:])
        seconds = time.perf_counter() - start
        row = self._row(epoch, len(losses), seconds)
        self._history.append(row)
        yield EpochEnded(row, recorded=False)

    def _row(self, epoch: int, steps: int, seconds: float) -> dict[str, Any]:
        config, totals = self._setup.config, parallel.unreplicate(self._state.totals)
        learnt = _means(totals)
        if not np.isfinite(learnt["loss"]):
            raise DivergedError(
                f"the loss of epoch {epoch + 1} is {learnt['loss']}: training has "
                "diverged; try a smaller train.learning_rate, train.warmup or "
                "train.clip in another --workdir"
            )
        updates = self._step // config.accumulate
        rate = learning_rate(config, self._feed.steps // config.accumulate)
        row = {
            "epoch": epoch + 1,
            "step": self._step,
            "learning_rate": float(np.asarray(rate(max(0, updates - 1)))),
            **learnt,
            "seconds": seconds,
            "images_per_second": steps * config.step_batch / seconds,
        }
        measured = self.measure(self._feed.measured()) or {}
        return row | {f"validation_{name}": value for name, value in measured.items()}

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

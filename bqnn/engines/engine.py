"""Engine: the protocol of what trains and measures one network on a device."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bqnn.data.batches import Batches

OnStep = Callable[[], None]


class Engine(Protocol):
    """Trains and measures one network. Constructed from plan, recipe and data.

    Attributes:
      clock: the time spent by phase.
    """

    clock: "Clock"

    def init(self, seed: int) -> Any:
        """Make the first state: the same parameters at every call with a seed."""

    def train(
        self, state: Any, batches: Batches, learning_rate: float, on_step: OnStep
    ) -> tuple[Any, NDArray[np.float32]]:
        """Train on batches.

        Args:
          state: consumed: its buffers may be reused.
          batches: indices into the training part.
          learning_rate: of every step.
          on_step: called before every step, or as often as the engine can; an exception
            that it raises ends the training.

        Returns:
          The next state, and the loss of every step, float32 `[S]`.
        """

    def count_correct(self, state: Any, batches: Batches) -> int:
        """Count the validation images that are classified right."""


class Clock:
    """Wall time by phase, in seconds. A phase inside another counts for itself only."""

    def __init__(self) -> None:
        """Start with no phases."""
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Add the time that the body takes to `phase`."""
        start, counted = time.perf_counter(), sum(self.seconds.values())
        try:
            yield
        finally:
            inside = sum(self.seconds.values()) - counted
            spent = time.perf_counter() - start - inside
            self.seconds[phase] = self.seconds.get(phase, 0.0) + spent

"""The protocol of engines: how one network is trained and measured on a device."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bqnn.data.batches import Batches

OnStep = Callable[[], None]


class Engine(Protocol):
    """Trains and measures one network; made from plan, recipe, data and seed.

    Attributes:
      clock: where the time went.
    """

    clock: "Clock"

    def init(self) -> Any:
        """Make the first state: the same parameters each time it is called."""

    def train(
        self, state: Any, batches: Batches, learning_rate: float, on_step: OnStep
    ) -> tuple[Any, NDArray[np.float32]]:
        """Train on batches.

        Args:
          state: taken over.
          batches: of the training part.
          learning_rate: of every step.
          on_step: called before every step, or as often as the engine can; whatever
            it raises ends the training.

        Returns:
          The next state, and the loss of every step.  # [S]
        """

    def count_correct(self, state: Any, batches: Batches) -> int:
        """Count the images of the validation part that are classified right."""


class Clock:
    """Wall time by phase, in seconds."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Add the time that the body takes to `phase`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[phase] = self.seconds.get(phase, 0.0) + spent

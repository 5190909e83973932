"""Engines that compile the whole network: one program a step, or one an epoch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import NDArray

from bqnn import runtime
from bqnn.config import TrainConfig
from bqnn.data import Dataset
from bqnn.data.batches import Batches, all_batches, epoch_batches
from bqnn.engines.engine import Clock, OnStep
from bqnn.engines.placement import placement
from bqnn.engines.steps import (
    TrainState,
    init_state,
    make_eval_step,
    make_train_step,
)
from bqnn.networks.network import Network
from bqnn.networks.plan import NetworkPlan


class StepEngine:
    """One compiled program for every step: for the CPU, where loops are slow."""

    network: type[Network] = Network

    def __init__(
        self, plan: NetworkPlan, config: TrainConfig, dataset: Dataset
    ) -> None:
        """Put the data on the device, and compile."""
        self.clock = Clock()
        self.plan, self.config = plan, config
        batch = min(config.batch, len(dataset.train.labels))
        self.images = len(dataset.train.labels), len(dataset.validation.labels)
        self.place = placement(config.devices, batch)
        with self.clock.measure("prepare"):
            self.data, self.validation = self.place.put(
                (dataset.train, dataset.validation)
            )
        network = self.place.network(self.network)(plan, jnp.dtype(config.dtype))
        pixels = dataset.mean, dataset.std, self.place.axis
        steps = (
            make_train_step(network, config, *pixels),
            make_eval_step(network, *pixels),
        )
        self.functions: dict[str, Callable[..., Any]] = dict(
            zip(("train", "evaluate"), self.lengthen(*steps), strict=True)
        )
        self.programs: dict[Any, Any] = {}
        self._compile(batch)

    def lengthen(self, train: Any, evaluate: Any) -> tuple[Any, Any]:
        """Make programs' functions of a training and an evaluation step: here those."""
        return train, evaluate

    def split(self, batches: Batches) -> list[Batches]:
        """Split batches into what one program call takes: here into single ones."""
        return [Batches(*batch) for batch in zip(*batches, strict=True)]

    def init(self, seed: int) -> TrainState:
        """Make the first state."""
        with self.clock.measure("prepare"):
            return self.place.put(init_state(self.plan, self.config, seed))

    def train(
        self, state: TrainState, batches: Batches, learning_rate: float, on_step: OnStep
    ) -> tuple[TrainState, NDArray[np.float32]]:
        """Train on batches."""
        losses: list[Array] = []
        rate = self.place.put(np.float32(learning_rate))
        with self.clock.measure("train"):
            try:
                for indices, _ in self.split(batches):
                    # Two steps in flight keep the device busy; with more, a timeout or
                    # an interrupt would be noticed late.
                    jax.block_until_ready(losses[-2:-1])
                    on_step()
                    indices = self.place.share(indices)
                    arguments = (state, *self.data, indices, rate)
                    state, loss = self._program("train", *arguments)(*arguments)
                    losses.append(loss)
            finally:
                # A process that exits while XLA computes crashes.
                jax.block_until_ready(losses)
            losses = [self.place.first(loss) for loss in losses]
            return state, np.array(jax.device_get(losses), np.float32).reshape(-1)

    def count_correct(self, state: TrainState, batches: Batches) -> int:
        """Count the validation images that are classified right."""
        with self.clock.measure("evaluate"):
            correct = []
            for indices, mask in self.split(batches):
                part = map(self.place.share, (indices, mask))
                arguments = (state, *self.validation, *part)
                correct.append(self._program("evaluate", *arguments)(*arguments))
            counts = [self.place.first(count) for count in correct]
            return int(np.sum(jax.device_get(counts)))

    def _compile(self, batch: int) -> None:
        """Compile both programs, for an epoch and for the validation part."""
        train, validation = self.images
        state, rate = self.init(0), self.place.put(np.float32(0))
        share = self.place.share
        for indices, _ in self.split(epoch_batches(train, batch, 0, 0))[:1]:
            self._program("train", state, *self.data, share(indices), rate)
        for part in self.split(all_batches(validation, batch))[:1]:
            self._program("evaluate", state, *self.validation, *map(share, part))

    def _program(self, name: str, *arguments: Any) -> Any:
        """Return a program; the first call compiles it for indices of this shape."""
        key = name, arguments[3].shape
        if key not in self.programs:
            donate = (0,) if name == "train" else ()
            program = self.place.program(self.functions[name], donate)
            with self.clock.measure("trace"):
                lowered = program.lower(*arguments)
            with self.clock.measure("compile"), runtime.no_persistent_cache():
                self.programs[key] = lowered.compile()
        return self.programs[key]


class ScanEngine(StepEngine):
    """One compiled program for a whole epoch: for GPU and TPU.

    It notices an interrupt or a timeout between epochs.
    """

    def lengthen(self, train: Any, evaluate: Any) -> tuple[Any, Any]:
        """Scan over the steps."""
        return _scan_train(train), _scan_eval(evaluate)

    def split(self, batches: Batches) -> list[Batches]:
        """Give one call all batches."""
        return [batches]


def _scan_train(train_step: Callable[..., Any]) -> Callable[..., Any]:
    def train_epoch(
        state: TrainState, images: Array, labels: Array, indices: Array, rate: Array
    ) -> tuple[TrainState, Array]:
        def step(state: TrainState, indices: Array) -> tuple[TrainState, Array]:
            return train_step(state, images, labels, indices, rate)

        return lax.scan(step, state, indices)

    return train_epoch


def _scan_eval(eval_step: Callable[..., Array]) -> Callable[..., Array]:
    def evaluate(
        state: TrainState, images: Array, labels: Array, indices: Array, mask: Array
    ) -> Array:
        def step(total: Array, batch: tuple[Array, Array]) -> tuple[Array, None]:
            return total + eval_step(state, images, labels, *batch), None

        return lax.scan(step, jnp.int32(0), (indices, mask))[0]

    return evaluate

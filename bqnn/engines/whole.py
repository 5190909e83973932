"""Engines that compile the whole network: one program a step, or one an epoch."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import NDArray

from bqnn import runtime
from bqnn.config import TrainConfig
from bqnn.data import Dataset
from bqnn.data.batches import Batches
from bqnn.engines.engine import Clock, OnStep
from bqnn.engines.steps import TrainState, init_state, make_steps
from bqnn.networks.network import Network
from bqnn.networks.plan import NetworkPlan


class _Whole:
    """What both have in common: the data on the device, and compiled programs."""

    network: type[Network] = Network

    def __init__(
        self, plan: NetworkPlan, config: TrainConfig, dataset: Dataset, seed: int
    ) -> None:
        """Put the data on the device, and compile."""
        self.clock = Clock()
        self.plan, self.config, self.seed = plan, config, seed
        with self.clock.measure("prepare"):
            self.data, self.validation = jax.device_put(
                (dataset.train, dataset.validation)
            )
        network = self.network(plan, jnp.dtype(config.dtype))
        self.steps = make_steps(network, config, dataset.mean, dataset.std)
        self.batch = min(config.batch, len(dataset.train.labels))

    def init(self) -> TrainState:
        """Make the first state."""
        with self.clock.measure("prepare"):
            return init_state(self.plan, self.config, self.seed)

    def compile(self, function: Any, *arguments: Any, donate: Any = ()) -> Any:
        with self.clock.measure("trace"):
            lowered = jax.jit(function, donate_argnums=donate).lower(*arguments)
        with self.clock.measure("compile"), runtime.no_persistent_cache():
            return lowered.compile()


class StepEngine(_Whole):
    """One compiled program for every step: for the CPU, where loops are slow."""

    def __init__(
        self, plan: NetworkPlan, config: TrainConfig, dataset: Dataset, seed: int
    ) -> None:
        """Put the data on the device, and compile."""
        super().__init__(plan, config, dataset, seed)
        indices, state = np.zeros(self.batch, np.int32), self.init()
        self.train_step = self.compile(
            self.steps[0], state, *self.data, indices, np.float32(0), donate=0
        )
        self.eval_step = self.compile(
            self.steps[1], state, *self.validation, indices, indices == 0
        )

    def train(
        self, state: TrainState, batches: Batches, learning_rate: float, on_step: OnStep
    ) -> tuple[TrainState, NDArray[np.float32]]:
        """Train on batches."""
        losses: list[Array] = []
        rate = np.float32(learning_rate)
        with self.clock.measure("train"):
            try:
                for indices in batches.indices:
                    # Two steps in flight keep the device busy; with more, a timeout or
                    # an interrupt would be heard long after it came.
                    jax.block_until_ready(losses[-2:-1])
                    on_step()
                    state, loss = self.train_step(state, *self.data, indices, rate)
                    losses.append(loss)
            finally:
                # A process that exits while XLA computes crashes.
                jax.block_until_ready(losses)
            return state, np.array(jax.device_get(losses), np.float32)

    def count_correct(self, state: TrainState, batches: Batches) -> int:
        """Count the validation images that are classified right."""
        with self.clock.measure("evaluate"):
            correct = [
                self.eval_step(state, *self.validation, indices, mask)
                for indices, mask in zip(*batches, strict=True)
            ]
            return int(np.sum(jax.device_get(correct)))


class ScanEngine(_Whole):
    """One compiled program for a whole epoch: for GPU and TPU.

    It hears an interrupt or a timeout between epochs.
    """

    def __init__(
        self, plan: NetworkPlan, config: TrainConfig, dataset: Dataset, seed: int
    ) -> None:
        """Put the data on the device; programs are compiled when first used."""
        super().__init__(plan, config, dataset, seed)
        self.programs: dict[str, Any] = {}

    def train(
        self, state: TrainState, batches: Batches, learning_rate: float, on_step: OnStep
    ) -> tuple[TrainState, NDArray[np.float32]]:
        """Train on batches."""
        on_step()
        arguments = (state, *self.data, batches.indices, np.float32(learning_rate))
        if "train" not in self.programs:
            run = functools.partial(_train_epoch, self.steps[0])
            self.programs["train"] = self.compile(run, *arguments, donate=0)
        with self.clock.measure("train"):
            state, losses = self.programs["train"](*arguments)
            return state, np.asarray(losses)

    def count_correct(self, state: TrainState, batches: Batches) -> int:
        """Count the validation images that are classified right."""
        arguments = (state, *self.validation, *batches)
        if "evaluate" not in self.programs:
            run = functools.partial(_evaluate_all, self.steps[1])
            self.programs["evaluate"] = self.compile(run, *arguments)
        with self.clock.measure("evaluate"):
            return int(self.programs["evaluate"](*arguments))


def _train_epoch(
    train_step: Any,
    state: TrainState,
    images: Array,
    labels: Array,
    indices: Array,
    learning_rate: Array,
) -> tuple[TrainState, Array]:
    def step(state: TrainState, places: Array) -> tuple[TrainState, Array]:
        return train_step(state, images, labels, places, learning_rate)

    return lax.scan(step, state, indices)


def _evaluate_all(
    eval_step: Any,
    state: TrainState,
    images: Array,
    labels: Array,
    indices: Array,
    mask: Array,
) -> Array:
    def step(total: Array, batch: tuple[Array, Array]) -> tuple[Array, None]:
        return total + eval_step(state, images, labels, *batch), None

    return lax.scan(step, jnp.int32(0), (indices, mask))[0]

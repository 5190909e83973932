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
from bqnn.data.batches import Batches
from bqnn.engines.engine import Clock, OnStep
from bqnn.engines.steps import TrainState, init_state, make_steps
from bqnn.networks.network import Network
from bqnn.networks.plan import NetworkPlan


class StepEngine:
    """One compiled program for every step: for the CPU, where loops are slow."""

    network: type[Network] = Network

    def __init__(
        self, plan: NetworkPlan, config: TrainConfig, dataset: Dataset, seed: int
    ) -> None:
        """Put the data on the device, and compile what can be compiled now."""
        self.clock = Clock()
        self.plan, self.config, self.seed = plan, config, seed
        with self.clock.measure("prepare"):
            self.data, self.validation = jax.device_put(
                (dataset.train, dataset.validation)
            )
        network = self.network(plan, jnp.dtype(config.dtype))
        steps = make_steps(network, config, dataset.mean, dataset.std)
        self.functions: dict[str, Callable[..., Any]] = dict(
            zip(("train", "evaluate"), steps, strict=True)
        )
        self.programs: dict[str, Any] = {}
        self.prepare(min(config.batch, len(dataset.train.labels)))

    def prepare(self, batch: int) -> None:
        """Compile both programs, for batches of `batch` images."""
        indices, state = np.zeros(batch, np.int32), self.init()
        self._program("train", state, *self.data, indices, np.float32(0))
        self._program("evaluate", state, *self.validation, indices, indices == 0)

    def split(self, batches: Batches) -> list[Batches]:
        """Split batches into what one program call takes: here into single ones."""
        return [Batches(*batch) for batch in zip(*batches, strict=True)]

    def init(self) -> TrainState:
        """Make the first state."""
        with self.clock.measure("prepare"):
            return init_state(self.plan, self.config, self.seed)

    def train(
        self, state: TrainState, batches: Batches, learning_rate: float, on_step: OnStep
    ) -> tuple[TrainState, NDArray[np.float32]]:
        """Train on batches."""
        losses: list[Array] = []
        rate = np.float32(learning_rate)
        with self.clock.measure("train"):
            try:
                for indices, _ in self.split(batches):
                    # Two steps in flight keep the device busy; with more, a timeout or
                    # an interrupt would be noticed late.
                    jax.block_until_ready(losses[-2:-1])
                    on_step()
                    arguments = (state, *self.data, indices, rate)
                    state, loss = self._program("train", *arguments)(*arguments)
                    losses.append(loss)
            finally:
                # A process that exits while XLA computes crashes.
                jax.block_until_ready(losses)
            return state, np.array(jax.device_get(losses), np.float32).reshape(-1)

    def count_correct(self, state: TrainState, batches: Batches) -> int:
        """Count the validation images that are classified right."""
        with self.clock.measure("evaluate"):
            correct = []
            for indices, mask in self.split(batches):
                arguments = (state, *self.validation, indices, mask)
                correct.append(self._program("evaluate", *arguments)(*arguments))
            return int(np.sum(jax.device_get(correct)))

    def _program(self, name: str, *arguments: Any) -> Any:
        """Return a program; the first call compiles it for these arguments."""
        if name not in self.programs:
            donate = 0 if name == "train" else ()
            program = jax.jit(self.functions[name], donate_argnums=donate)
            with self.clock.measure("trace"):
                lowered = program.lower(*arguments)
            with self.clock.measure("compile"), runtime.no_persistent_cache():
                self.programs[name] = lowered.compile()
        return self.programs[name]


class ScanEngine(StepEngine):
    """One compiled program for a whole epoch: for GPU and TPU.

    It notices an interrupt or a timeout between epochs.
    """

    def prepare(self, batch: int) -> None:
        """Scan over the steps; programs are compiled when first called."""
        del batch
        self.functions["train"] = _scan_train(self.functions["train"])
        self.functions["evaluate"] = _scan_eval(self.functions["evaluate"])

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

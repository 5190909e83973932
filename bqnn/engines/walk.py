"""The engine that compiles no candidate: it walks a network unit by unit.

The programs of the units (`bqnn.engines.unit_programs`) are compiled once for all
candidates; a step calls them in the order of the plan, keeps what the backward pass
needs on a tape, and calls them backwards.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from bqnn.config import TrainConfig
from bqnn.data import Dataset, Images
from bqnn.data.batches import Batches
from bqnn.engines import steps as train
from bqnn.engines.engine import Clock, OnStep
from bqnn.engines.program_store import load_or_compile
from bqnn.engines.unit_programs import UnitPrograms, accumulate, unit_programs
from bqnn.engines.unit_state import UnitState, init_states
from bqnn.engines.units import Unit, last_reads, units
from bqnn.networks.network import init_variables
from bqnn.networks.plan import NetworkPlan

Residuals = tuple[Array, ...]


class WalkEngine:
    """Walks the units of one network."""

    def __init__(
        self, plan: NetworkPlan, config: TrainConfig, dataset: Dataset, seed: int
    ) -> None:
        """Put the data on the device, and look up the programs.

        What is not compiled yet is compiled now.
        """
        self.clock = Clock()
        self.plan, self.config, self.seed = plan, config, seed
        with self.clock.measure("prepare"):
            self.data, self.validation, self.mean, self.std = jax.device_put(
                (dataset.train, dataset.validation, dataset.mean, dataset.std)
            )
            self.units = units(plan)
            self.last_reads = last_reads(self.units)
        batch = min(config.batch, len(dataset.train.labels))
        with self.clock.measure("compile"):
            self.programs = tuple(
                unit_programs(unit.signature, config, batch) for unit in self.units
            )
            self.read = reader(batch, self.data)
            self.read_validation = reader(batch, self.validation)

    def init(self) -> list[UnitState]:
        """Make the first state, unit by unit."""
        with self.clock.measure("prepare"):
            variables = init_variables(self.plan, self.seed)
            return init_states(self.units, variables, self.config)

    def train(
        self,
        state: list[UnitState],
        batches: Batches,
        learning_rate: float,
        on_step: OnStep,
    ) -> tuple[list[UnitState], NDArray[np.float32]]:
        """Train on batches."""
        losses: list[Array] = []
        rate = jax.device_put(np.float32(learning_rate))
        state = list(state)
        with self.clock.measure("train"):
            try:
                for indices in batches.indices:
                    # The loss is there half way through a step: what is left of it
                    # keeps the device busy while the next one is dispatched.
                    jax.block_until_ready(losses[-1:])
                    on_step()
                    losses.append(self._step(state, indices, rate))
            finally:
                # A process that exits while XLA computes crashes.
                jax.block_until_ready((losses, [unit.params for unit in state]))
            return state, np.array(jax.device_get(losses), np.float32)

    def count_correct(self, state: list[UnitState], batches: Batches) -> int:
        """Count the validation images that are classified right."""
        with self.clock.measure("evaluate"):
            correct: list[Array] = []
            for indices, mask in zip(*batches, strict=True):
                jax.block_until_ready(correct[-1:])
                correct.append(self._count(state, indices, mask))
            return int(np.sum(jax.device_get(correct)))

    def _step(self, state: list[UnitState], indices: Any, rate: Array) -> Array:
        """Train on one batch; replaces the states in the list as it goes."""
        images, labels = self.read(*self.data, indices, self.mean, self.std)
        values: dict[int, Array] = {0: images}
        tape: list[Residuals] = []
        last = len(self.units) - 1
        for at, (unit, programs) in enumerate(self._walk(last)):
            params, stats, opt_state = state[at]
            inputs = self._read_values(values, at)
            output, stats, *residuals = programs.forward(params, stats, *inputs)
            values[unit.output] = output
            del inputs, output  # the tape alone keeps what backward needs
            state[at] = UnitState(params, stats, opt_state)
            tape.append(tuple(residuals))
        (x,) = self._read_values(values, last)
        loss, cotangent, params, opt_state = self.programs[last].forward(
            state[last].params, state[last].opt_state, x, labels, rate
        )
        state[last] = UnitState(params, (), opt_state)
        (top,) = self.units[last].inputs
        self._backward(state, tape, {top: cotangent}, rate)
        return loss

    def _backward(
        self,
        state: list[UnitState],
        tape: list[Residuals],
        cotangents: dict[int, Array],
        rate: Array,
    ) -> None:
        for at in reversed(range(len(tape))):
            unit, backward = self.units[at], self.programs[at].backward
            residuals = tape.pop()
            cotangent = cotangents.pop(unit.output)
            if backward is None:
                found = (cotangent,) * len(unit.inputs)
            else:
                params, stats, opt_state = state[at]
                params, opt_state, found = backward(
                    params, opt_state, residuals, cotangent, rate
                )
                state[at] = UnitState(params, stats, opt_state)
            # The stem has no cotangent for the images.
            for place, part in zip(unit.inputs, found, strict=bool(found)):
                if place in cotangents:
                    add = accumulate(part.shape, part.dtype.name)
                    part = add(cotangents[place], part)
                cotangents[place] = part

    def _count(self, state: list[UnitState], indices: Any, mask: Any) -> Array:
        images, labels = self.read_validation(
            *self.validation, indices, self.mean, self.std
        )
        values: dict[int, Array] = {0: images}
        last = len(self.units) - 1
        for at, (unit, programs) in enumerate(self._walk(last)):
            inputs = self._read_values(values, at)
            values[unit.output] = programs.predict(
                state[at].params, state[at].batch_stats, *inputs
            )
        (x,) = self._read_values(values, last)
        correct: Array = self.programs[last].predict(
            state[last].params, (), x, labels, mask
        )
        return correct

    def _read_values(self, values: dict[int, Array], at: int) -> tuple[Array, ...]:
        """Read the inputs of a unit, and let go of what no later one reads."""
        inputs = tuple(values[place] for place in self.units[at].inputs)
        for place in self.last_reads[at]:
            del values[place]
        return inputs

    def _walk(self, end: int) -> "zip[tuple[Unit, UnitPrograms]]":
        return zip(self.units[:end], self.programs[:end], strict=True)


def reader(batch: int, data: Images) -> Any:
    """Compile the program that gathers a batch and normalises it."""
    specs = tuple((array.shape, array.dtype.name) for array in data)
    return _compiled_reader(batch, specs)


@functools.lru_cache(maxsize=8)
def _compiled_reader(batch: int, specs: Any) -> Any:
    images, labels = (jax.ShapeDtypeStruct(*spec) for spec in specs)
    channel = jax.ShapeDtypeStruct(images.shape[-1:], jnp.float32)
    indices = jax.ShapeDtypeStruct((batch,), jnp.int32)

    def read(
        images: Array, labels: Array, indices: Array, mean: Array, std: Array
    ) -> tuple[Array, Array]:
        return train.gather(images, indices, mean, std), labels[indices]

    arguments = (images, labels, indices, channel, channel)
    (program,) = load_or_compile(
        lambda: (jax.jit(read).lower(*arguments),), "reader", arguments
    )
    return program

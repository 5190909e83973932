"""Walk engine: trains a network unit by unit, and compiles nothing per candidate.

The programs of the units (`bqnn.engines.unit_programs`) are compiled once for all
candidates. A step calls the forward programs in the order of the plan, keeps their
residuals on a tape, and then calls the backward programs in reverse.
"""

import functools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from bqnn import runtime
from bqnn.config import TrainConfig
from bqnn.data import Dataset, Images
from bqnn.data.batches import Batches
from bqnn.engines import compilation, steps
from bqnn.engines.engine import Clock, OnStep
from bqnn.engines.program_store import load_or_compile
from bqnn.engines.unit_programs import (
    UnitPrograms,
    accumulate,
    compile_unit,
    head_programs,
    unit_programs,
)
from bqnn.engines.unit_state import UnitState, init_states
from bqnn.engines.units import Unit, last_reads, units
from bqnn.networks.network import init_variables
from bqnn.networks.plan import NetworkPlan

Residuals = tuple[Array, ...]

_IN_FLIGHT = 8
"""Steps that an accelerator is given before the loss of the first is waited for.

The host takes longer to dispatch a step of a small network than an accelerator to
compute it, and must never wait. On the CPU one is enough: each holds its memory.
"""


class WalkEngine:
    """Trains one network by walking its units."""

    def __init__(
        self, plan: NetworkPlan, config: TrainConfig, dataset: Dataset
    ) -> None:
        """Put the data on the device, and load or compile the programs."""
        self.clock = Clock()
        self.plan, self.config = plan, config
        with self.clock.measure("prepare"):
            self.data, self.validation, self.mean, self.std = jax.device_put(
                (dataset.train, dataset.validation, dataset.mean, dataset.std)
            )
            self.units = units(plan)
            self.last_reads = last_reads(self.units)
            *body, head = (unit.signature for unit in self.units)
        batch = min(config.batch, len(dataset.train.labels))
        accelerated = runtime.accelerated()
        self.in_flight = _IN_FLIGHT if accelerated else 1
        with self.clock.measure("compile"):
            if accelerated:
                compilation.run_all(self._jobs(batch))
            self.programs = tuple(unit_programs(unit, config, batch) for unit in body)
            self.head = head_programs(head, config, batch)
            self.read = reader(batch, specs_of(self.data))
            self.read_validation = reader(batch, specs_of(self.validation))

    def init(self, seed: int) -> list[UnitState]:
        """Make the first state, unit by unit."""
        with self.clock.measure("prepare"):
            variables = init_variables(self.plan, seed)
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
                    # The loss is ready half way through a step: the other half keeps
                    # the device busy while the next step is dispatched.
                    jax.block_until_ready(losses[-self.in_flight :][:1])
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
                jax.block_until_ready(correct[-self.in_flight :][:1])
                correct.append(self._count(state, indices, mask))
            return int(np.sum(jax.device_get(correct)))

    def _jobs(self, batch: int) -> Iterator[compilation.Job]:
        """List what must be compiled before the first step, each once."""
        config = self.config
        readers = Counter(source for unit in self.units for source in unit.inputs)
        for signature in dict.fromkeys(unit.signature for unit in self.units):
            yield functools.partial(compile_unit, signature, config, batch)
        for shape in {u.signature.output for u in self.units if readers[u.output] > 1}:
            yield functools.partial(accumulate, (batch, *shape), config.dtype)
        for part in (self.data, self.validation):
            yield functools.partial(reader, batch, specs_of(part))

    def _step(self, state: list[UnitState], indices: Any, rate: Array) -> Array:
        """Train on one batch; replaces the states in the list one by one."""
        images, labels = self.read(*self.data, indices, self.mean, self.std)
        values: dict[int, Array] = {0: images}
        tape: list[Residuals] = []
        for i, (unit, programs) in enumerate(self._body()):
            params, stats, opt_state = state[i]
            inputs = self._read_values(values, i)
            output, stats, *residuals = programs.forward(params, stats, *inputs)
            values[unit.output] = output
            del inputs, output  # only the tape keeps what backward needs
            state[i] = UnitState(params, stats, opt_state)
            tape.append(tuple(residuals))
        (x,) = self._read_values(values, len(self.programs))
        loss, cotangent, params, opt_state = self.head.step(
            state[-1].params, state[-1].opt_state, x, labels, rate
        )
        state[-1] = UnitState(params, (), opt_state)
        (top,) = self.units[-1].inputs
        self._backward(state, tape, {top: cotangent}, rate)
        return loss

    def _backward(
        self,
        state: list[UnitState],
        tape: list[Residuals],
        cotangents: dict[int, Array],
        rate: Array,
    ) -> None:
        for i in reversed(range(len(tape))):
            unit, backward = self.units[i], self.programs[i].backward
            residuals = tape.pop()
            cotangent = cotangents.pop(unit.output)
            if backward is None:
                found = (cotangent,) * len(unit.inputs)
            else:
                params, stats, opt_state = state[i]
                params, opt_state, found = backward(
                    params, opt_state, residuals, cotangent, rate
                )
                state[i] = UnitState(params, stats, opt_state)
            # The stem returns none for the images.
            for source, part in zip(unit.inputs, found, strict=bool(found)):
                if source in cotangents:
                    add = accumulate(part.shape, part.dtype.name)
                    part = add(cotangents[source], part)
                cotangents[source] = part

    def _count(self, state: list[UnitState], indices: Any, mask: Any) -> Array:
        images, labels = self.read_validation(
            *self.validation, indices, self.mean, self.std
        )
        values: dict[int, Array] = {0: images}
        for i, (unit, programs) in enumerate(self._body()):
            inputs = self._read_values(values, i)
            values[unit.output] = programs.predict(
                state[i].params, state[i].batch_stats, *inputs
            )
        (x,) = self._read_values(values, len(self.programs))
        correct: Array = self.head.count_correct(state[-1].params, x, labels, mask)
        return correct

    def _read_values(self, values: dict[int, Array], i: int) -> tuple[Array, ...]:
        """Read the inputs of unit `i`, and release those that no later unit reads."""
        inputs = tuple(values[source] for source in self.units[i].inputs)
        for source in self.last_reads[i]:
            del values[source]
        return inputs

    def _body(self) -> "zip[tuple[Unit, UnitPrograms]]":
        """Pair all units but the head with their programs."""
        return zip(self.units[:-1], self.programs, strict=True)


ImageSpecs = tuple[tuple[tuple[int, ...], str], ...]


def specs_of(data: Images) -> ImageSpecs:
    """Return shape and dtype of images and labels, as `reader` takes them."""
    return tuple((array.shape, array.dtype.name) for array in data)


@functools.lru_cache(maxsize=8)
def reader(batch: int, specs: ImageSpecs) -> Any:
    """Load or compile the program that gathers a batch and normalises it.

    Args:
      batch: B, images per step.
      specs: shape and dtype of images and labels.
    """
    images, labels = (jax.ShapeDtypeStruct(*spec) for spec in specs)
    channel = jax.ShapeDtypeStruct(images.shape[-1:], jnp.float32)
    indices = jax.ShapeDtypeStruct((batch,), jnp.int32)

    def read(
        images: Array, labels: Array, indices: Array, mean: Array, std: Array
    ) -> tuple[Array, Array]:
        return steps.gather(images, indices, mean, std), labels[indices]

    arguments = (images, labels, indices, channel, channel)
    (program,) = load_or_compile(
        lambda: (jax.jit(read).lower(*arguments),), "reader", arguments
    )
    return program

"""Timing: how long calls take, and the calls of units and networks through jax.

A call takes longer than what it computes: XLA wakes a thread for all but the smallest
programs. So of a unit two programs are timed, with one copy and with several, and the
difference is what a copy takes within a network.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bqnn import numerics
from bqnn.config import TrainConfig
from bqnn.engines.unit_functions import UnitFunctions
from bqnn.engines.units import UnitSignature
from bqnn.latency.table import UnitLatency
from bqnn.networks.network import Network, abstract_variables
from bqnn.networks.plan import NetworkPlan

Call = Callable[[], Any]
"""Computes one image, and returns when it is done."""

ROUNDS = 5
COPIES = 9
_WARM_UP = 3
_CALLS, _SECONDS = 10, 0.01  # of a round, at least


class UnitCalls(NamedTuple):
    """Calls of one unit.

    Attributes:
      one: computes it once.
      several: computes it `COPIES` times, of other inputs each.
    """

    one: Call
    several: Call


def measure_units(
    units: Mapping[str, UnitCalls], on_unit: Callable[[], None] = lambda: None
) -> dict[str, UnitLatency]:
    """Time units in several rounds, one after the other in each.

    What disturbs the machine for a moment disturbs one round of a few.

    Args:
      units: by name.
      on_unit: called after each unit of each round; may raise to end it.

    Returns:
      What one more copy takes, by name.
    """
    rounds: dict[str, list[float]] = {name: [] for name in units}
    for _ in range(ROUNDS):
        for name, calls in units.items():
            more = _median_ms(calls.several) - _median_ms(calls.one)
            rounds[name].append(max(0.0, more / (COPIES - 1)))
            on_unit()
    return {
        name: UnitLatency(statistics.median(times), min(times), max(times))
        for name, times in rounds.items()
    }


def measure(
    calls: Mapping[str, Call], on_call: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """Time calls as `measure_units` does, and return medians in milliseconds."""
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            rounds[name].append(_median_ms(call))
            on_call()
    return {name: statistics.median(times) for name, times in rounds.items()}


@numerics.pinned()
def unit_calls(signature: UnitSignature, dtype: str) -> UnitCalls:
    """Compile a unit, and return the calls of its inference.

    Args:
      signature: the unit.
      dtype: of the computation.
    """
    unit = UnitFunctions(signature, TrainConfig(dtype=dtype))
    params, stats, _ = unit.layout.specs
    variables = jax.device_put((_noise(params), _noise(stats)))
    # Copies of the same inputs would be computed once.
    inputs = [
        jax.device_put(_noise(unit.input_specs(1), seed)) for seed in range(COPIES)
    ]

    def predict(variables: Any, inputs: Any) -> list[jax.Array]:
        params, stats = map(tuple, variables)
        return [unit.predict(params, stats, *copy) for copy in inputs]

    def call(copies: int) -> Call:
        arguments = variables, inputs[:copies]
        program = jax.jit(predict).lower(*arguments).compile()
        return lambda: jax.block_until_ready(program(*arguments))

    return UnitCalls(call(1), call(COPIES))


@numerics.pinned()
def network_call(network: NetworkPlan, dtype: str) -> Call:
    """Compile a network, and return the call of its inference.

    Args:
      network: the plan.
      dtype: of the computation.
    """
    module, image = Network(network, jnp.dtype(dtype)), network.nodes[0]
    shape = 1, image.height, image.width, image.channels
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    leaves, structure = jax.tree.flatten((dict(abstract_variables(network)), images))
    variables, one = jax.device_put(jax.tree.unflatten(structure, _noise(leaves)))

    def logits(variables: Any, images: jax.Array) -> Any:
        return module.apply(variables, images, train=False)

    program = jax.jit(logits).lower(variables, one).compile()
    return lambda: jax.block_until_ready(program(variables, one))


def _noise(specs: Sequence[Any], seed: int = 0) -> list[NDArray[Any]]:
    """Draw arrays; small and positive, as running variances must be."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.01, 0.1, s.shape).astype(s.dtype) for s in specs]


def _median_ms(call: Call) -> float:
    for _ in range(_WARM_UP):
        call()
    times: list[float] = []
    while len(times) < _CALLS or sum(times) < _SECONDS:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)

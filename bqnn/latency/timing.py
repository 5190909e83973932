"""Timing: how long calls take, and the calls of units and networks through jax."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
_WARM_UP = 3
_CALLS, _SECONDS = 10, 0.01  # of a round, at least


def measure(
    calls: Mapping[str, Call], on_call: Callable[[], None] = lambda: None
) -> dict[str, UnitLatency]:
    """Time calls in several rounds, one after the other in each.

    What disturbs the machine for a moment disturbs one round of a few.

    Args:
      calls: by name.
      on_call: called after each call of each round; may raise to end it.

    Returns:
      Their latencies, by name.
    """
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(_WARM_UP):
            call()
    for _ in range(ROUNDS):
        for name, call in calls.items():
            rounds[name].append(_median_ms(call))
            on_call()
    return {
        name: UnitLatency(statistics.median(times), min(times), max(times))
        for name, times in rounds.items()
    }


@numerics.pinned()
def unit_call(signature: UnitSignature, dtype: str) -> Call:
    """Compile a unit, and return the call of its inference.

    Args:
      signature: the unit.
      dtype: of the computation.
    """
    unit = UnitFunctions(signature, TrainConfig(dtype=dtype))
    params, stats, _ = unit.layout.specs
    inputs = unit.input_specs(1)
    arguments = jax.device_put(_noise([*params, *stats, *inputs]))
    split = len(params), len(params) + len(stats)

    def predict(*flat: jax.Array) -> jax.Array:
        ends = tuple(flat[: split[0]]), tuple(flat[split[0] : split[1]])
        return unit.predict(*ends, *flat[split[1] :])

    program = jax.jit(predict).lower(*arguments).compile()
    return lambda: jax.block_until_ready(program(*arguments))


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


def _noise(specs: Sequence[Any]) -> list[NDArray[Any]]:
    """Draw arrays; small and positive, as running variances must be."""
    rng = np.random.default_rng(0)
    return [rng.uniform(0.01, 0.1, s.shape).astype(s.dtype) for s in specs]


def _median_ms(call: Call) -> float:
    times: list[float] = []
    while len(times) < _CALLS or sum(times) < _SECONDS:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)

"""Unit state: the parameters, statistics and optimiser of a unit as flat tuples."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from bqnn.config import TrainConfig
from bqnn.engines import steps
from bqnn.engines.units import Unit, UnitSignature
from bqnn.networks.network import Variables, node_variables

Arrays = tuple[Array, ...]


class UnitState(NamedTuple):
    """The arrays of one unit, in the order of `jax.tree.leaves`.

    Attributes:
      params: its parameters.
      batch_stats: running statistics of its batch normalisation.
      opt_state: the optimiser's.
    """

    params: Arrays
    batch_stats: Arrays
    opt_state: Arrays


class UnitLayout(NamedTuple):
    """The arrangement of the arrays of a unit.

    Attributes:
      specs: shape and dtype of every array.
      params, batch_stats, opt_state: the trees whose leaves the arrays are. The first
        two are tuples with a tree for every node.
    """

    specs: UnitState
    params: Any
    batch_stats: Any
    opt_state: Any


@functools.lru_cache(maxsize=4096)
def unit_layout(signature: UnitSignature, config: TrainConfig) -> UnitLayout:
    """Compute the layout of a unit's state."""
    channels = tuple(shape[-1] for shape in signature.inputs)
    variables = []
    for node in signature.nodes:
        variables.append(node_variables(node.op, node.kernel, node.channels, channels))
        channels = (node.channels,)
    params = tuple(tree.get("params", {}) for tree in variables)
    batch_stats = tuple(tree.get("batch_stats", {}) for tree in variables)
    opt_state = jax.eval_shape(steps.make_optimizer(config).init, params)
    trees = (params, batch_stats, opt_state)
    leaves, structures = zip(*(jax.tree.flatten(tree) for tree in trees), strict=True)
    return UnitLayout(UnitState(*map(tuple, leaves)), *structures)


def init_states(
    network: Sequence[Unit], variables: Variables, config: TrainConfig
) -> list[UnitState]:
    """Split the variables of a network into its units, with a fresh optimiser."""
    states = []
    for unit in network:
        params, batch_stats = (
            jax.tree.leaves([variables[kind].get(name, {}) for name in unit.names])
            for kind in ("params", "batch_stats")
        )
        specs = unit_layout(unit.signature, config).specs.opt_state
        opt_state = [np.zeros(spec.shape, spec.dtype) for spec in specs]
        states.append((tuple(params), tuple(batch_stats), tuple(opt_state)))
    # One call for all: a call for every array would take longer than all the rest.
    return [UnitState(*state) for state in jax.device_put(states)]

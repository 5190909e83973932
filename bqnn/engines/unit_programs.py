"""The compiled programs of units: forward, backward with the optimiser, prediction.

Programs take and return flat tuples of arrays: that is what a call costs least with.
They are kept for the life of the process, and on disk (`bqnn.engines.program_store`).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.stages import Lowered

from bqnn.config import TrainConfig
from bqnn.engines import steps as train
from bqnn.engines.program_store import load_or_compile
from bqnn.engines.unit_state import Arrays, layout
from bqnn.engines.units import Signature
from bqnn.networks.layers import MODULES


class UnitPrograms(NamedTuple):
    """The programs of a unit; each but the head's `predict` ends in [B, H, W, C].

    Attributes:
      forward: (params, batch_stats, *inputs) -> (output, batch_stats, *residuals).
        Takes over the buffers of `batch_stats`. For the head, (params, opt_state,
        input, labels, learning rate) -> (loss, cotangent of the input, params,
        opt_state), which is the whole of its step; takes over params and opt_state.
      backward: (params, opt_state, residuals, cotangent, learning rate) ->
        (params, opt_state, cotangents of the inputs). Takes over params and opt_state.
        None where there is nothing to learn and every input's cotangent is the
        output's.
      predict: (params, batch_stats, *inputs) -> output. For the head, with labels and
        with the images that count as further inputs, how many it gets right.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any] | None
    predict: Callable[..., Any]


@functools.cache
def unit_programs(
    signature: Signature, config: TrainConfig, batch: int
) -> UnitPrograms:
    """Compile the programs of a unit; at once where that was done before."""
    lower_all = functools.partial(_lower_all, signature, config, batch)
    recipe = (config.dtype, config.b1, config.b2, config.eps)
    programs = load_or_compile(lower_all, signature, recipe, batch)
    if len(programs) == 1:
        # A sum keeps nothing, and hands its cotangent to both inputs.
        (add,) = programs
        return UnitPrograms(functools.partial(_sum_forward, add), None, add)
    if len(programs) == 2:
        return UnitPrograms(programs[0], None, programs[1])
    return UnitPrograms(*programs)


@functools.cache
def accumulate(shape: tuple[int, ...], dtype: str) -> Callable[..., Array]:
    """Compile the sum of two arrays of one shape."""
    spec = jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))
    (program,) = load_or_compile(
        lambda: (_lower(jnp.add, spec, spec),), "accumulate", shape, dtype
    )
    return program


class _UnitFunctions:
    """The pure functions of a unit, over flat tuples."""

    def __init__(self, signature: Signature, config: TrainConfig) -> None:
        self.signature, self.dtype = signature, jnp.dtype(config.dtype)
        self.optimizer = train.make_optimizer(config)
        self.layout = layout(signature, config)
        self.pulls: Any = None
        self.is_first = signature.nodes[0].op == "stem"

    def input_specs(self, batch: int) -> list[jax.ShapeDtypeStruct]:
        dtype = jnp.float32 if self.is_first else self.dtype
        return [_spec(batch, shape, dtype) for shape in self.signature.inputs]

    def apply(
        self, params: Arrays, stats: Arrays, inputs: Arrays, train: bool
    ) -> tuple[Array, Arrays]:
        nodes = zip(
            self.signature.nodes,
            jax.tree.unflatten(self.layout.params, params),
            jax.tree.unflatten(self.layout.batch_stats, stats),
            strict=True,
        )
        updated = []
        for node, node_params, node_stats in nodes:
            module = MODULES[node.op](node, self.dtype)
            variables = {"params": node_params, "batch_stats": node_stats}
            output: Any = module.apply(
                variables, *inputs, train=train, mutable=["batch_stats"]
            )
            inputs = (output[0],)
            updated.append(output[1].get("batch_stats", {}))
        return inputs[0], tuple(jax.tree.leaves(updated))

    def forward(self, params: Arrays, stats: Arrays, *inputs: Array) -> Arrays:
        def run(params: Arrays, inputs: Arrays) -> tuple[Array, Arrays]:
            return self.apply(params, stats, inputs, train=True)

        output, pull, stats = jax.vjp(run, params, inputs, has_aux=True)
        leaves, structure = jax.tree.flatten(pull)
        # Backward is given the parameters anyway.
        given = {id(leaf): at for at, leaf in enumerate(params)}
        self.pulls = structure, [given.get(id(leaf)) for leaf in leaves]
        kept = [leaf for leaf in leaves if id(leaf) not in given]
        return (output, stats, *kept)

    def backward(
        self,
        params: Arrays,
        opt_state: Arrays,
        residuals: Arrays,
        cotangent: Array,
        learning_rate: Array,
    ) -> tuple[Arrays, Arrays, Arrays]:
        structure, places = self.pulls
        kept = iter(residuals)
        leaves = [next(kept) if at is None else params[at] for at in places]
        grads, cotangents = jax.tree.unflatten(structure, leaves)(cotangent)
        params, opt_state = self.learn(params, opt_state, grads, learning_rate)
        # Nobody asks for the gradient of the images.
        return params, opt_state, () if self.is_first else cotangents

    def learn(
        self, params: Arrays, opt_state: Arrays, grads: Arrays, learning_rate: Array
    ) -> tuple[Arrays, Arrays]:
        params, opt_state = train.apply_gradients(
            self.optimizer,
            jax.tree.unflatten(self.layout.params, params),
            jax.tree.unflatten(self.layout.opt_state, opt_state),
            jax.tree.unflatten(self.layout.params, grads),
            learning_rate,
        )
        return tuple(jax.tree.leaves(params)), tuple(jax.tree.leaves(opt_state))

    def predict(self, params: Arrays, stats: Arrays, *inputs: Array) -> Array:
        return self.apply(params, stats, inputs, train=False)[0]

    def head_step(
        self,
        params: Arrays,
        opt_state: Arrays,
        x: Array,
        labels: Array,
        learning_rate: Array,
    ) -> tuple[Array, Array, Arrays, Arrays]:
        def loss_fn(params: Arrays, x: Array) -> Array:
            return train.mean_loss(self.apply(params, (), (x,), train=True)[0], labels)

        grad = jax.value_and_grad(loss_fn, argnums=(0, 1))
        loss, (grads, cotangent) = grad(params, x)
        return loss, cotangent, *self.learn(params, opt_state, grads, learning_rate)

    def head_correct(
        self, params: Arrays, stats: Arrays, x: Array, labels: Array, mask: Array
    ) -> Array:
        return train.count_correct(self.predict(params, stats, x), labels, mask)


def _lower_all(
    signature: Signature, config: TrainConfig, batch: int
) -> tuple[Lowered, ...]:
    unit = _UnitFunctions(signature, config)
    if signature.nodes[0].op == "head":
        return _lower_head(unit, batch)
    inputs, (params, stats, opt_state) = unit.input_specs(batch), unit.layout.specs
    predict = _lower(unit.predict, params, stats, *inputs)
    if signature.nodes[0].op == "add":
        return (predict,)
    forward = _lower(unit.forward, params, stats, *inputs, donate=(1,))
    output, _, *residuals = forward.out_info
    backward = _lower(
        unit.backward,
        params,
        opt_state,
        tuple(_spec_of(info) for info in residuals),
        _spec_of(output),
        jax.ShapeDtypeStruct((), jnp.float32),
        donate=(0, 1),
    )
    return forward, backward, predict


def _lower_head(unit: _UnitFunctions, batch: int) -> tuple[Lowered, ...]:
    (x,), (params, stats, opt_state) = unit.input_specs(batch), unit.layout.specs
    labels = jax.ShapeDtypeStruct((batch,), jnp.int32)
    mask = jax.ShapeDtypeStruct((batch,), jnp.bool_)
    rate = jax.ShapeDtypeStruct((), jnp.float32)
    step = _lower(unit.head_step, params, opt_state, x, labels, rate, donate=(0, 1))
    correct = _lower(unit.head_correct, params, stats, x, labels, mask)
    return step, correct


def _sum_forward(
    add: Callable[..., Array], params: Arrays, stats: Arrays, *inputs: Array
) -> tuple[Array, Arrays]:
    return add(params, stats, *inputs), stats


def _lower(
    function: Callable[..., Any], *specs: Any, donate: tuple[int, ...] = ()
) -> Lowered:
    # Arguments that one program does not read still have their place in the call.
    return jax.jit(function, donate_argnums=donate, keep_unused=True).lower(*specs)


def _spec(batch: int, shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((batch, *shape), dtype)


def _spec_of(info: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(info.shape, info.dtype)

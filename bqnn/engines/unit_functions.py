"""Unit functions: what the programs of a unit compute, as pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import jaxpr_as_fun
from jax.tree_util import PyTreeDef

from bqnn.config import TrainConfig
from bqnn.engines import steps
from bqnn.engines.unit_state import Arrays, unit_layout
from bqnn.engines.units import UnitSignature
from bqnn.networks.layers import module_of


class UnitFunctions:
    """The pure functions of a unit, over flat tuples of arrays.

    Attributes:
      layout: the trees that the tuples are the leaves of.
      is_stem: whether the unit reads the images.
    """

    def __init__(self, signature: UnitSignature, config: TrainConfig) -> None:
        """Bind them to a unit and a recipe."""
        self.signature, self.dtype = signature, jnp.dtype(config.dtype)
        self.optimizer = steps.make_optimizer(config)
        self.layout = unit_layout(signature, config)
        self.is_stem = signature.nodes[0].op == "stem"

    def input_specs(self, batch: int) -> list[jax.ShapeDtypeStruct]:
        """Return shape and dtype of every input."""
        dtype = jnp.float32 if self.is_stem else self.dtype
        return [
            jax.ShapeDtypeStruct((batch, *shape), dtype)
            for shape in self.signature.inputs
        ]

    def apply(
        self, params: Arrays, stats: Arrays, inputs: Arrays, train: bool
    ) -> tuple[Array, Arrays]:
        """Compute the output, and the running statistics after the batch."""
        nodes = zip(
            self.signature.nodes,
            jax.tree.unflatten(self.layout.params, params),
            jax.tree.unflatten(self.layout.batch_stats, stats),
            strict=True,
        )
        updated = []
        for node, node_params, node_stats in nodes:
            module = module_of(node, self.dtype)
            variables = {"params": node_params, "batch_stats": node_stats}
            output: Any = module.apply(
                variables, *inputs, train=train, mutable=["batch_stats"]
            )
            inputs = (output[0],)
            updated.append(output[1].get("batch_stats", {}))
        return inputs[0], tuple(jax.tree.leaves(updated))

    def learn(
        self, params: Arrays, opt_state: Arrays, grads: Arrays, learning_rate: Array
    ) -> tuple[Arrays, Arrays]:
        """Update parameters and the state of the optimiser."""
        params, opt_state = steps.apply_gradients(
            self.optimizer,
            jax.tree.unflatten(self.layout.params, params),
            jax.tree.unflatten(self.layout.opt_state, opt_state),
            jax.tree.unflatten(self.layout.params, grads),
            learning_rate,
        )
        return tuple(jax.tree.leaves(params)), tuple(jax.tree.leaves(opt_state))

    def predict(self, params: Arrays, stats: Arrays, *inputs: Array) -> Array:
        """Compute the output with the running statistics."""
        return self.apply(params, stats, inputs, train=False)[0]

    def head_step(
        self,
        params: Arrays,
        opt_state: Arrays,
        x: Array,
        labels: Array,
        learning_rate: Array,
    ) -> tuple[Array, Array, Arrays, Arrays]:
        """Compute `HeadPrograms.step`."""

        def loss_fn(params: Arrays, x: Array) -> Array:
            return steps.mean_loss(self.apply(params, (), (x,), train=True)[0], labels)

        grad = jax.value_and_grad(loss_fn, argnums=(0, 1))
        loss, (grads, cotangent) = grad(params, x)
        return loss, cotangent, *self.learn(params, opt_state, grads, learning_rate)

    def head_correct(
        self, params: Arrays, x: Array, labels: Array, mask: Array
    ) -> Array:
        """Compute `HeadPrograms.count_correct`."""
        return steps.count_correct(self.predict(params, (), x), labels, mask)


class Pullback(NamedTuple):
    """How to restore the pullback that `jax.vjp` returns from flat arrays.

    Attributes:
      structure: the tree that the pullback is.
      sources: for each of its leaves, the index of the parameter that it is, or None
        for a residual.
    """

    structure: PyTreeDef
    sources: tuple[int | None, ...]

    def restore(self, params: Arrays, residuals: Arrays) -> Callable[[Array], Any]:
        """Make the pullback: a function of the output's cotangent."""
        rest = iter(residuals)
        leaves = [next(rest) if i is None else params[i] for i in self.sources]
        pullback: Callable[[Array], Any] = jax.tree.unflatten(self.structure, leaves)
        return pullback


def make_forward(
    unit: UnitFunctions, batch: int
) -> tuple[Callable[..., Arrays], Pullback]:
    """Make the forward function of a unit, and what its backward function needs.

    A program can return the leaves of a pullback, but not its tree, so the unit is
    traced here to learn both. Backward is given the parameters anyway: leaves that are
    parameters are left out of the residuals. So any Flax module can be a unit.
    """

    def with_pullback(params: Arrays, stats: Arrays, *inputs: Array) -> Any:
        def run(params: Arrays, inputs: Arrays) -> tuple[Array, Arrays]:
            return unit.apply(params, stats, inputs, train=True)

        output, pullback, stats = jax.vjp(run, params, inputs, has_aux=True)
        return output, stats, pullback

    params, stats, _ = unit.layout.specs
    specs = (params, stats, *unit.input_specs(batch))
    traced, outputs = jax.make_jaxpr(with_pullback, return_shape=True)(*specs)
    structure = jax.tree.structure(outputs[2])
    start = 1 + len(stats)  # after the output and the statistics
    variables = traced.jaxpr.invars[: len(params)]
    sources = tuple(
        variables.index(leaf) if leaf in variables else None
        for leaf in traced.jaxpr.outvars[start:]
    )
    pullback = Pullback(structure, sources)

    def forward(*arguments: Any) -> Arrays:
        output, *rest = jaxpr_as_fun(traced)(*jax.tree.leaves(arguments))
        stats, leaves = rest[: start - 1], rest[start - 1 :]
        residuals = [x for x, i in zip(leaves, sources, strict=True) if i is None]
        return (output, tuple(stats), *residuals)

    return forward, pullback


def make_backward(unit: UnitFunctions, pullback: Pullback) -> Callable[..., Any]:
    """Make the backward function of a unit, which learns as well."""

    def backward(
        params: Arrays,
        opt_state: Arrays,
        residuals: Arrays,
        cotangent: Array,
        learning_rate: Array,
    ) -> tuple[Arrays, Arrays, Arrays]:
        grads, cotangents = pullback.restore(params, residuals)(cotangent)
        params, opt_state = unit.learn(params, opt_state, grads, learning_rate)
        return params, opt_state, () if unit.is_stem else cotangents

    return backward

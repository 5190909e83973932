"""Unit programs: compiled forward, backward with the optimiser, and prediction.

Programs take and return flat tuples of arrays, because a call costs about 8
microseconds, and flattening a tree of parameters by names costs several times that.
Programs are kept for the life of the process, and on disk
(`bqnn.engines.program_store`). The optimiser runs inside the backward programs, with a
step count of its own in every unit.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.stages import Lowered

from bqnn.config import TrainConfig
from bqnn.engines.compilation import CompiledOnce
from bqnn.engines.program_store import is_kept, load_or_compile
from bqnn.engines.unit_functions import UnitFunctions, make_backward, make_forward
from bqnn.engines.unit_state import Arrays
from bqnn.engines.units import UnitSignature
from bqnn.own_layers import own_source


class UnitPrograms(NamedTuple):
    """The programs of a unit other than the head. Outputs are `[B, H, W, C]`.

    Attributes:
      forward: (params, batch_stats, *inputs) -> (output, batch_stats, *residuals).
        Takes over the buffers of `batch_stats`.
      backward: (params, opt_state, residuals, cotangent, learning rate) ->
        (params, opt_state, cotangents of the inputs). Takes over params and opt_state.
        None for a sum: it has no parameters, and the cotangent of its output is that
        of both inputs. The stem returns no cotangents: the images need none.
      predict: (params, batch_stats, *inputs) -> output.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any] | None
    predict: Callable[..., Any]


class HeadPrograms(NamedTuple):
    """The programs of the head, the last unit; labels are `[B]`.

    Attributes:
      step: (params, opt_state, input, labels, learning rate) -> (loss, cotangent of the
        input, params, opt_state). Forward, backward and optimiser in one program. Takes
        over params and opt_state.
      count_correct: (params, input, labels, mask) -> how many of the images under the
        mask are classified right.
    """

    step: Callable[..., Any]
    count_correct: Callable[..., Any]


@CompiledOnce
def unit_programs(
    signature: UnitSignature, config: TrainConfig, batch: int
) -> UnitPrograms:
    """Load or compile the programs of a unit other than the head.

    Args:
      signature: what the unit computes.
      config: the recipe.
      batch: B, images per step.
    """
    if signature.nodes[0].op == "add":
        (add,) = _load_or_compile(_lower_sum, signature, config, batch)
        return UnitPrograms(functools.partial(_sum_forward, add), None, add)
    return UnitPrograms(*_load_or_compile(_lower_unit, signature, config, batch))


@CompiledOnce
def head_programs(
    signature: UnitSignature, config: TrainConfig, batch: int
) -> HeadPrograms:
    """Load or compile the programs of the head; arguments as of `unit_programs`."""
    return HeadPrograms(*_load_or_compile(_lower_head, signature, config, batch))


@CompiledOnce
def accumulate(shape: tuple[int, ...], dtype: str) -> Callable[..., Array]:
    """Load or compile the sum of two arrays of one shape."""
    spec = jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))
    (program,) = load_or_compile(
        lambda: (_lower(jnp.add, spec, spec),), "accumulate", shape, dtype
    )
    return program


def compile_unit(signature: UnitSignature, config: TrainConfig, batch: int) -> None:
    """Load or compile the programs of any unit; arguments as of `unit_programs`."""
    is_head = signature.nodes[-1].op == "head"
    (head_programs if is_head else unit_programs)(signature, config, batch)


def are_kept(signature: UnitSignature, config: TrainConfig, batch: int) -> bool:
    """Tell whether the programs of a unit are on disk; as `unit_programs` otherwise."""
    lower = _LOWER.get(signature.nodes[-1].op, _lower_unit)
    return is_kept(*_entry(lower, signature, config, batch))


_Lower = Callable[[UnitSignature, TrainConfig, int], tuple[Lowered, ...]]

_RATE = jax.ShapeDtypeStruct((), jnp.float32)


def _load_or_compile(
    lower: _Lower, signature: UnitSignature, config: TrainConfig, batch: int
) -> Any:
    return load_or_compile(*_entry(lower, signature, config, batch))


def _entry(
    lower: _Lower, signature: UnitSignature, config: TrainConfig, batch: int
) -> tuple[Any, ...]:
    """Collect the arguments of `load_or_compile`."""
    recipe = (config.dtype, config.b1, config.b2, config.eps)
    lower_all = functools.partial(lower, signature, config, batch)
    sources = [own_source(node.op) for node in signature.nodes]
    return lower_all, signature, recipe, batch, sources


def _lower_unit(
    signature: UnitSignature, config: TrainConfig, batch: int
) -> tuple[Lowered, ...]:
    unit = UnitFunctions(signature, config)
    inputs, (params, stats, opt_state) = unit.input_specs(batch), unit.layout.specs
    make_output, pullback = make_forward(unit, batch)
    forward = _lower(make_output, params, stats, *inputs, donate=(1,))
    output, _, *residuals = jax.tree.map(
        lambda info: jax.ShapeDtypeStruct(info.shape, info.dtype), forward.out_info
    )
    backward = _lower(
        make_backward(unit, pullback),
        params,
        opt_state,
        tuple(residuals),
        output,
        _RATE,
        donate=(0, 1),
    )
    return forward, backward, _lower(unit.predict, params, stats, *inputs)


def _lower_sum(
    signature: UnitSignature, config: TrainConfig, batch: int
) -> tuple[Lowered, ...]:
    unit = UnitFunctions(signature, config)
    params, stats, _ = unit.layout.specs
    return (_lower(unit.predict, params, stats, *unit.input_specs(batch)),)


def _lower_head(
    signature: UnitSignature, config: TrainConfig, batch: int
) -> tuple[Lowered, ...]:
    unit = UnitFunctions(signature, config)
    (x,), (params, _, opt_state) = unit.input_specs(batch), unit.layout.specs
    labels = jax.ShapeDtypeStruct((batch,), jnp.int32)
    mask = jax.ShapeDtypeStruct((batch,), jnp.bool_)
    step = _lower(unit.head_step, params, opt_state, x, labels, _RATE, donate=(0, 1))
    return step, _lower(unit.head_correct, params, x, labels, mask)


# By operation; all others are lowered by `_lower_unit`.
_LOWER: dict[str, _Lower] = {"add": _lower_sum, "head": _lower_head}


def _sum_forward(
    add: Callable[..., Array], params: Arrays, stats: Arrays, *inputs: Array
) -> tuple[Array, Arrays]:
    return add(params, stats, *inputs), stats


def _lower(
    function: Callable[..., Any], *specs: Any, donate: tuple[int, ...] = ()
) -> Lowered:
    # All programs of a kind are called alike, also with arguments that they ignore.
    return jax.jit(function, donate_argnums=donate, keep_unused=True).lower(*specs)

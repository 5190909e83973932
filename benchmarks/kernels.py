"""Kernels: those of `bqnn.networks` compared with the plain forms, with gradients."""

import functools
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array, lax

from benchmarks.setting import BenchSetting
from bqnn import runtime
from bqnn.networks import kernels, pooling
from bqnn.networks.depthwise import depthwise_convolution, grouped_convolution


class KernelRow(NamedTuple):
    """One kernel at one shape: seconds for value and gradient together.

    On the CPU they are of processor time. `torch` is None where PyTorch is not
    compared.
    """

    kernel: str
    shape: tuple[int, ...]
    ours: float
    plain: float
    torch: float | None = None

    @property
    def speedup(self) -> float:
        """Time of the plain form divided by ours."""
        return self.plain / self.ours


def measure(setting: BenchSetting, repeats: int = 7) -> Iterator[KernelRow]:
    """Time kernels on the tensors of every stage of a setting, in turn.

    Args:
      setting: its widths, images and batch give the shapes.
      repeats: the median of so many runs is returned.
    """
    height = setting.images.height
    for stage, width in enumerate(setting.network.widths):
        side = -(-height // 2**stage)
        shape = (setting.train.batch, side, side, width)
        for name, ours, plain, inputs in _cases(shape):
            programs = [_program(function, inputs) for function in (ours, plain)]
            if name.startswith("depthwise") and _has_torch():
                from benchmarks import torch_kernels

                programs.append(torch_kernels.depthwise(*inputs))
            yield KernelRow(name, shape, *_timed(programs, repeats))


def _has_torch() -> bool:
    return bool(importlib.util.find_spec("torch")) and not runtime.accelerated()


Case = tuple[str, Callable[..., Array], Callable[..., Array], tuple[Array, ...]]


def _cases(shape: tuple[int, ...]) -> Iterator[Case]:
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal(shape, np.float32))
    for size, stride in ((3, 1), (2, 2)):
        yield (
            f"max pool {size}x{size}, stride {stride}",
            functools.partial(pooling.max_pool, kernel=size, stride=stride),
            functools.partial(_plain_max_pool, size=size, stride=stride),
            (x,),
        )
    yield (
        "average pool 3x3",
        functools.partial(pooling.average_pool, kernel=3),
        _plain_average_pool,
        (x,),
    )
    for size in (1, 3, 5):
        weights = rng.standard_normal((size, size, shape[-1], shape[-1]), np.float32)
        ones, zeros = jnp.ones(shape[-1]), jnp.zeros(shape[-1])
        inputs = (x, jnp.asarray(weights) * 0.1, ones, zeros)
        yield f"ReLU, convolution {size}x{size}, norm", _pcc, _plain_pcc, inputs
    for size in (3, 5):
        cells = jnp.asarray(rng.standard_normal((size, size, 1, shape[-1]), np.float32))
        yield f"depthwise {size}x{size}", _depthwise, grouped_convolution, (x, cells)


def _depthwise(x: Array, kernel: Array) -> Array:
    return depthwise_convolution(x, kernel, activation=False)


def _pcc(x: Array, weights: Array, scale: Array, bias: Array) -> Array:
    return kernels.convolution_norm(x, weights, scale, bias, True, 1)[0]


def _plain_pcc(x: Array, weights: Array, scale: Array, bias: Array) -> Array:
    z = lax.conv_general_dilated(
        nn.relu(x), weights, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    norm = nn.BatchNorm(use_running_average=False, epsilon=kernels.EPSILON)
    variables = {
        "params": {"scale": scale, "bias": bias},
        "batch_stats": {"mean": bias, "var": scale},
    }
    output: Any = norm.apply(variables, z, mutable=["batch_stats"])
    y: Array = output[0]
    return y


def _plain_max_pool(x: Array, size: int, stride: int) -> Array:
    return nn.max_pool(x, (size, size), (stride, stride), padding="SAME")


def _plain_average_pool(x: Array) -> Array:
    return nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)


def _program(
    function: Callable[..., Array], inputs: tuple[Array, ...]
) -> Callable[[], Any]:
    return functools.partial(
        jax.jit(functools.partial(_value_and_grads, function)), *inputs
    )


def _timed(programs: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Run programs in turn, and return the median seconds of each."""
    clock = time.perf_counter if runtime.accelerated() else time.process_time
    seconds: list[list[float]] = [[] for _ in programs]
    for repeat in range(repeats + 1):
        for program, spent in zip(programs, seconds, strict=True):
            start = clock()
            jax.block_until_ready(program())
            if repeat:  # the first call compiles
                spent.append(clock() - start)
    return [statistics.median(spent) for spent in seconds]


def _value_and_grads(function: Callable[..., Array], *inputs: Array) -> Any:
    output, pull = jax.vjp(function, *inputs)
    return output, pull(output)

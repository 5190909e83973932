"""Network: the whole network of a plan, as one Flax module."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax import Array
from jax.ad_checkpoint import checkpoint_name

from bqnn.errors import ConfigError
from bqnn.layer_types import is_own, own_kind
from bqnn.networks.layers import (
    MODULES,
    ConvolutionNorm,
    MakeModule,
    PreActivationConvolution,
    SeparableConvolution,
    module_of,
    own_module,
)
from bqnn.networks.plan import NetworkPlan, Node
from bqnn.parallel import AXIS

Variables = Mapping[str, Any]


class Network(nn.Module):
    """A network of the plan's nodes.

    Attributes:
      plan: the nodes.
      dtype: dtype of the computation; parameters and batch statistics are float32.
      modules: the module of every operation.
    """

    plan: NetworkPlan
    dtype: Any = jnp.float32
    modules: ClassVar[Mapping[str, MakeModule]] = MODULES
    axis: ClassVar[str | None] = None

    @nn.compact
    def __call__(self, images: Array, train: bool) -> Array:
        """Compute logits.

        Args:
          images: normalised images, `[B, H, W, C]`.
          train: whether batch normalisation uses (and collects) the statistics of this
            batch instead of the running ones.

        Returns:
          Logits, float32 `[B, K]`.
        """
        values = [images.astype(self.dtype)]
        for node in self.plan.nodes[1:]:
            inputs = (values[i] for i in node.inputs)
            if is_own(node.op):
                module = own_module(node, self.dtype, self.axis)
            else:
                module = self.modules[node.op](node, self.dtype)
            value = module(*inputs, train=train)
            # By this name `jax.checkpoint` can keep the value and drop all between.
            values.append(checkpoint_name(value, node.name))
        return values[-1]


class SyncedNetwork(Network):
    """A network whose batch normalisation sees the batch over all replicas."""

    axis: ClassVar[str | None] = AXIS
    modules: ClassVar[Mapping[str, MakeModule]] = {
        **MODULES,
        "stem": lambda n, dtype: ConvolutionNorm(
            n.channels, n.kernel, n.stride, dtype, axis=AXIS, name=n.name
        ),
        "pcc": lambda n, dtype: PreActivationConvolution(
            n.channels, n.kernel, n.stride, dtype, axis=AXIS, name=n.name
        ),
        "separable": lambda n, dtype: SeparableConvolution(
            n.channels, n.kernel, dtype, axis=AXIS, name=n.name
        ),
    }


def abstract_variables(plan: NetworkPlan) -> Variables:
    """Return shapes and dtypes of the parameters and batch statistics.

    The same as `jax.eval_shape` of `Network.init`, but node by node: nodes repeat, and
    tracing a whole network takes longer than training it in a quick search.
    """
    found: dict[str, dict[str, Any]] = {"params": {}, "batch_stats": {}}
    for node in plan.nodes[1:]:
        channels = tuple(plan.nodes[i].channels for i in node.inputs)
        variables = node_variables(node.op, node.kernel, node.channels, channels)
        for kind, tree in variables.items():
            found[kind][node.name] = tree
    return found


@functools.lru_cache(maxsize=1024)
def node_variables(
    op: str, kernel: int, channels: int, inputs: tuple[int, ...]
) -> Variables:
    """Return shapes and dtypes of the variables of one node.

    Args:
      op: as `Node.op`.
      kernel: as `Node.kernel`.
      channels: channels of its output.
      inputs: channels of each of its inputs.

    Raises:
      ConfigError: if a layer of the user's own is not as `bqnn.register_layer` wants.
    """
    if is_own(op):
        return _own_variables(op, kernel, channels, inputs)
    if op not in ("stem", "pcc", "separable", "head"):
        return {}
    init = _init(op, kernel, channels, inputs)
    # A real key would be compiled.
    key = jax.eval_shape(jax.random.key, 0)
    return cast(Variables, jax.eval_shape(init, key))


def _own_variables(
    op: str, kernel: int, channels: int, inputs: tuple[int, ...]
) -> Variables:
    """As `node_variables`, of a layer of the user's own, which is tried and checked."""
    kind, shape = own_kind(op), (1, 3, 5)
    given = [jax.ShapeDtypeStruct((*shape, count), jnp.float32) for count in inputs]
    where = f"layer {kind.name}, kernel {kernel}, channels {inputs} to {channels}"
    try:
        module = own_module(_node(op, kernel, channels), jnp.float32)
        init = functools.partial(module.init_with_output, train=False)
        output, found = jax.eval_shape(init, jax.eval_shape(jax.random.key, 0), *given)
        result = f"{output.dtype}{list(output.shape)}"
        params = sum(leaf.size for leaf in jax.tree.leaves(found.get("params", {})))
    except Exception as error:
        raise ConfigError(f"{where}: {type(error).__name__}: {error}") from error
    counted, *_ = kind.cost(kernel, channels, inputs, *shape[1:])
    if result != (wanted := f"float32{[*shape, channels]}"):
        raise ConfigError(f"{where}: its output is {result}: want {wanted}")
    if params != counted:
        raise ConfigError(
            f"{where}: it has {params} parameters, its cost says {counted}"
        )
    if more := {*found} - {"params", "batch_stats"}:
        raise ConfigError(f"{where}: it has {more}: want params and batch_stats alone")
    return cast(Variables, found)


def _node(op: str, kernel: int, channels: int) -> Node:
    return Node("node", op, kernel, 1, (0,), 1, 1, channels, 0, 0, 0)


@functools.lru_cache(maxsize=1024)
def _init(
    op: str, kernel: int, channels: int, inputs: tuple[int, ...]
) -> Callable[[Array], Variables]:
    """Make the init of one node: key -> variables. Arguments as of `node_variables`."""
    module = module_of(_node(op, kernel, channels), jnp.float32)

    @jax.jit
    def init(key: Array) -> Variables:
        images = [jnp.zeros((1, 1, 1, count), jnp.float32) for count in inputs]
        return module.init(key, *images, train=False)

    return init


def init_variables(plan: NetworkPlan, seed: int) -> Variables:
    """Draw the variables of a network: He initialisation (the paper).

    The distributions are those of `Network.init`. NumPy draws them, because compiling
    the init of a network takes longer than training it in a quick search.

    Args:
      plan: the network.
      seed: seed of the draws.

    Returns:
      `params` and `batch_stats`, as `Network.init` returns them, in NumPy arrays.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    flat = traverse_util.flatten_dict(dict(abstract_variables(plan)))
    own = [node for node in plan.nodes if is_own(node.op)]
    names = {node.name for node in own}
    drawn = {
        path: _draw(rng, path[-1], flat[path].shape)
        for path in sorted(flat)
        if path[1] not in names
    }
    for node in own:  # has initialisers of its own
        channels = tuple(plan.nodes[i].channels for i in node.inputs)
        key = jax.random.key(int(rng.integers(2**31)))
        found = _init(node.op, node.kernel, node.channels, channels)(key)
        for (kind, *rest), leaf in traverse_util.flatten_dict(dict(found)).items():
            drawn[(kind, node.name, *rest)] = np.asarray(leaf)
    return cast(Variables, traverse_util.unflatten_dict(drawn))


def _draw(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name == "kernel":
        fan_in = int(np.prod(shape[:-1]))
        kernel = rng.standard_normal(shape, np.float32)
        return kernel * np.float32(np.sqrt(2 / fan_in))
    if name in ("scale", "var"):
        return np.ones(shape, np.float32)
    return np.zeros(shape, np.float32)

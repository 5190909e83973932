"""The pure training step and evaluation step of one replica of a network."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, cast

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from bqnn.final.augment import Augmentation, augment, image_keys, mix
from bqnn.final.config import RecipeConfig
from bqnn.final.parallel import AXIS
from bqnn.networks.layers import (
    MODULES,
    ConvolutionNorm,
    MakeModule,
    PreActivationConvolution,
)
from bqnn.networks.network import Network, init_variables
from bqnn.networks.plan import NetworkPlan


class Totals(NamedTuple):
    """Sums over the images of an epoch so far.

    Attributes:
      loss: of the cross-entropy, `[] float32`.
      correct: images classified right, `[] int32`.
      images: how many, `[] int32`.
    """

    loss: Array | np.ndarray
    correct: Array | np.ndarray
    images: Array | np.ndarray


class State(NamedTuple):
    """The state that a training step changes.

    Attributes:
      step: steps done, `[] int32`.
      params: the parameters.
      batch_stats: running statistics of batch normalisation.
      opt_state: the optimiser's.
      average: moving averages of parameters and statistics, or the empty tuple.
      totals: of the epoch.
    """

    step: Array | np.ndarray
    params: Any
    batch_stats: Any
    opt_state: Any
    average: Any
    totals: Totals

    @property
    def variables(self) -> Mapping[str, Any]:
        """The parameters to measure with: their averages, where these are kept."""
        params, batch_stats = self.average or (self.params, self.batch_stats)
        return {"params": params, "batch_stats": batch_stats}


class Batch(NamedTuple):
    """A batch of one replica, or of all those of a process.

    Attributes:
      inputs: what `Read` makes images and labels of.
      positions: in the batch over all replicas, `[B] int32`.
      mask: which images are no padding, `[B] bool`.
    """

    inputs: Any
    positions: Any
    mask: Any


Read = Callable[[Any, Any], tuple[Array, Array]]
"""(data on the device, inputs of a batch) to images [B, H, W, C] and labels [B]."""


class Setup(NamedTuple):
    """The parts of a step.

    Attributes:
      plan: the network.
      config: the recipe.
      augmentation: of the training images.
      mean, std: by channel, in units of pixels, `[C] float32`.
      num_classes: how many.
      optimizer: as `bqnn.final.recipe.make_optimizer` makes it.
      read: reads a batch.
    """

    plan: NetworkPlan
    config: RecipeConfig
    augmentation: Augmentation
    mean: np.ndarray
    std: np.ndarray
    num_classes: int
    optimizer: optax.GradientTransformation
    read: Read


class SyncedNetwork(Network):
    """A network that normalises by the batch over all replicas."""

    modules: ClassVar[Mapping[str, MakeModule]] = {
        **MODULES,
        "stem": lambda n, dtype: ConvolutionNorm(
            n.channels, n.kernel, n.stride, dtype, axis=AXIS, name=n.name
        ),
        "pcc": lambda n, dtype: PreActivationConvolution(
            n.channels, n.kernel, n.stride, dtype, axis=AXIS, name=n.name
        ),
    }


def init_state(setup: Setup) -> State:
    """Make the first state: He initialisation from the recipe's seed."""
    return make_state(setup, init_variables(setup.plan, setup.config.seed))


def make_state(setup: Setup, variables: Mapping[str, Any]) -> State:
    """Make the first state of a training that begins with some variables."""
    params, batch_stats = variables["params"], variables["batch_stats"]
    return State(
        np.zeros((), np.int32),
        params,
        batch_stats,
        setup.optimizer.init(params),
        (params, batch_stats) if setup.config.average else (),
        no_totals(),
    )


def no_totals() -> Totals:
    """Start an epoch."""
    zero = np.zeros((), np.int32)
    return Totals(np.zeros((), np.float32), zero, zero)


def make_train_step(
    setup: Setup,
) -> Callable[[State, Any, Batch], tuple[State, Array]]:
    """Make the training step: (state, data, batch) -> state, loss []; over `AXIS`."""
    synced = setup.config.sync_batch_stats
    network = (SyncedNetwork if synced else Network)(
        setup.plan, jnp.dtype(setup.config.dtype)
    )
    loss_of = functools.partial(_loss, network, setup)

    def step(state: State, data: Any, batch: Batch) -> tuple[State, Array]:
        keys = image_keys(setup.config.seed, state.step, batch.positions)
        images, labels = setup.read(data, batch.inputs)
        images = augment(
            keys, images.astype(jnp.float32), setup.augmentation, jnp.array(setup.mean)
        )
        grad = jax.grad(loss_of, has_aux=True)
        images = _normalise(setup, images)
        grads, (batch_stats, loss, correct) = grad(
            state.params, state.batch_stats, images, labels, keys
        )
        # Statistics that are not synchronised differ: their mean is kept.
        grads, batch_stats, loss = lax.pmean((grads, batch_stats, loss), AXIS)
        count = len(labels) * lax.axis_size(AXIS)
        totals = Totals(
            state.totals.loss + loss * count,
            state.totals.correct + lax.psum(correct, AXIS),
            state.totals.images + count,
        )
        state = _update(setup, state, grads, batch_stats)._replace(totals=totals)
        return state, loss

    return step


def make_measure_step(setup: Setup) -> Callable[[Mapping[str, Any], Batch], Totals]:
    """Make the evaluation step: (variables, batch) -> totals over all replicas.

    Inputs of the batch are `Images`.
    """
    network = Network(setup.plan, jnp.dtype(setup.config.dtype))

    def step(variables: Mapping[str, Any], batch: Batch) -> Totals:
        images, labels = batch.inputs
        images = _normalise(setup, images.astype(jnp.float32))
        logits, _ = network.apply(variables, images, train=False, mutable=[])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        totals = Totals(
            jnp.sum(jnp.where(batch.mask, losses, 0.0)),
            jnp.sum((jnp.argmax(logits, -1) == labels) & batch.mask),
            jnp.sum(batch.mask),
        )
        return cast(Totals, lax.psum(totals, AXIS))

    return step


def _loss(
    network: Network,
    setup: Setup,
    params: Any,
    batch_stats: Any,
    images: Array,
    labels: Array,
    keys: Array,
) -> tuple[Array, tuple[Any, Array, Array]]:
    """Compute the loss  # [], and (statistics, cross-entropy [], correct [])."""
    chex.assert_rank([images, labels], [4, 1])
    config = setup.config
    targets = jax.nn.one_hot(labels, setup.num_classes)
    if config.mixup:
        keys = jax.vmap(jax.random.fold_in, (0, None))(keys, 1)
        images, targets = mix(keys, images, targets, config.mixup)
    if config.label_smoothing:
        targets = optax.smooth_labels(targets, config.label_smoothing)

    def apply(params: Any, images: Array) -> tuple[Array, Any]:
        variables = {"params": params, "batch_stats": batch_stats}
        return network.apply(variables, images, train=True, mutable=["batch_stats"])

    if config.remat:
        kept = jax.checkpoint_policies.save_only_these_names(*_block_outputs(setup))
        apply = jax.checkpoint(apply, policy=kept)
    logits, updated = apply(params, images)
    loss = optax.softmax_cross_entropy(logits, targets).mean()
    correct = jnp.sum(jnp.argmax(logits, -1) == jnp.argmax(targets, -1))
    return loss, (updated["batch_stats"], loss, correct)


def _block_outputs(setup: Setup) -> list[str]:
    """Name the last node of every block."""
    nodes = setup.plan.nodes
    scopes = [(node.stage, node.repeat) for node in nodes]
    pairs = zip(nodes, scopes, [*scopes[1:], None], strict=True)
    return [node.name for node, scope, following in pairs if scope != following]


def _update(setup: Setup, state: State, grads: Any, batch_stats: Any) -> State:
    with jax.numpy_dtype_promotion("standard"):  # optax counts in Python numbers
        updates, opt_state = setup.optimizer.update(
            grads, state.opt_state, state.params
        )
    params = optax.apply_updates(state.params, updates)
    average = state.average
    if average:
        # At first it follows faster: there is little to average (as TensorFlow's does).
        done = state.step.astype(jnp.float32)
        kept = jnp.minimum(setup.config.average, (1 + done) / (10 + done))
        average = optax.incremental_update((params, batch_stats), average, 1 - kept)
    return State(state.step + 1, params, batch_stats, opt_state, average, state.totals)


def _normalise(setup: Setup, images: Array) -> Array:
    mean, std = (jnp.array(x).reshape(1, 1, 1, -1) for x in (setup.mean, setup.std))
    return (images - mean) / std

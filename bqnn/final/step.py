"""Step: the pure training step and evaluation step of one replica of a network.

Axes: B images of one replica in a step, H W C image, K classes.
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from bqnn.final.augment import Augmentation, augment, image_keys, mixup
from bqnn.final.config import RecipeConfig
from bqnn.final.model import normalise_images
from bqnn.networks.network import Network, SyncedNetwork, init_variables
from bqnn.networks.plan import NetworkPlan
from bqnn.parallel import AXIS


class Totals(NamedTuple):
    """Sums over the images of all replicas, since the epoch began.

    Attributes:
      loss: sum of the cross-entropies, float32 `[]`.
      correct: number of images classified right, int32 `[]`.
      images: number of images, int32 `[]`.
    """

    loss: Array | np.ndarray
    correct: Array | np.ndarray
    images: Array | np.ndarray


class State(NamedTuple):
    """The state of a training.

    Attributes:
      step: number of steps done, int32 `[]`.
      params: parameters of the network.
      batch_stats: running statistics of batch normalisation.
      opt_state: state of the optimiser.
      average: moving averages of `params` and `batch_stats`; `()` if not kept.
      totals: sums over the epoch so far.
    """

    step: Array | np.ndarray
    params: Any
    batch_stats: Any
    opt_state: Any
    average: Any
    totals: Totals

    @property
    def variables(self) -> Mapping[str, Any]:
        """The variables to evaluate: the moving averages if they are kept."""
        params, batch_stats = self.average or (self.params, self.batch_stats)
        return {"params": params, "batch_stats": batch_stats}


class Batch(NamedTuple):
    """A batch of one replica, or of all replicas of a process.

    Attributes:
      inputs: what `Read` turns into images and labels.
      positions: position of each image in the batch over all replicas, int32 `[B]`.
      mask: False where an image is padding, bool `[B]`.
    """

    inputs: Any
    positions: Any
    mask: Any


Read = Callable[[Any, Any], tuple[Array, Array]]
"""(data on the device, inputs) -> images uint8 `[B, H, W, C]`, labels int32 `[B]`."""


class Setup(NamedTuple):
    """The parts that a step is made of.

    Attributes:
      plan: plan of the network.
      config: recipe of the training.
      augmentation: augmentation of the training images.
      mean, std: of every channel, in units of pixels, float32 `[C]`.
      num_classes: number of classes, K.
      optimizer: made by `bqnn.final.recipe.make_optimizer`.
      read: reads images and labels of a training batch.
    """

    plan: NetworkPlan
    config: RecipeConfig
    augmentation: Augmentation
    mean: np.ndarray
    std: np.ndarray
    num_classes: int
    optimizer: optax.GradientTransformation
    read: Read


def init_state(setup: Setup) -> State:
    """Make the first state: He initialisation with the seed of the recipe."""
    return make_state(setup, init_variables(setup.plan, setup.config.seed))


def make_state(setup: Setup, variables: Mapping[str, Any]) -> State:
    """Make the first state of a training that starts from `variables`."""
    params, batch_stats = variables["params"], variables["batch_stats"]
    return State(
        np.zeros((), np.int32),
        params,
        batch_stats,
        setup.optimizer.init(params),
        (params, batch_stats) if setup.config.average else (),
        zero_totals(),
    )


def zero_totals() -> Totals:
    """Return the totals at the start of an epoch."""
    zero = np.zeros((), np.int32)
    return Totals(np.zeros((), np.float32), zero, zero)


def make_train_step(
    setup: Setup,
) -> Callable[[State, Any, Batch], tuple[State, Array]]:
    """Make the training step: (state, data, batch) -> state and loss, float32 `[]`.

    It must be mapped over `AXIS`. `data` is the `Feed.data` of the batches.
    """
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
        images = normalise_images(images, setup.mean, setup.std)
        grads, (batch_stats, loss, correct) = grad(
            state.params, state.batch_stats, images, labels, keys
        )
        # Without `sync_batch_stats` every replica has its own: keep their mean.
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


def make_eval_step(setup: Setup) -> Callable[[Mapping[str, Any], Batch], Totals]:
    """Make the evaluation step: (variables, batch) -> totals over all replicas.

    The `inputs` of the batch are `Images`.
    """
    network = Network(setup.plan, jnp.dtype(setup.config.dtype))

    def step(variables: Mapping[str, Any], batch: Batch) -> Totals:
        images, labels = batch.inputs
        images = normalise_images(images, setup.mean, setup.std)
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
    """Compute the loss of a batch.

    Returns:
      The loss, float32 `[]`, and what the step keeps besides its gradient: batch
      statistics, the loss again, and the number of images classified right, int32 `[]`.
    """
    chex.assert_rank([images, labels], [4, 1])
    config = setup.config
    targets = jax.nn.one_hot(labels, setup.num_classes)
    if config.mixup:
        keys = jax.vmap(jax.random.fold_in, (0, None))(keys, 1)
        images, targets = mixup(keys, images, targets, config.mixup)
    if config.label_smoothing:
        targets = optax.smooth_labels(targets, config.label_smoothing)

    def apply(params: Any, images: Array) -> tuple[Array, Any]:
        variables = {"params": params, "batch_stats": batch_stats}
        return network.apply(variables, images, train=True, mutable=["batch_stats"])

    if config.remat:
        names = _block_outputs(setup.plan)
        policy = jax.checkpoint_policies.save_only_these_names(*names)
        apply = jax.checkpoint(apply, policy=policy)
    logits, updated = apply(params, images)
    loss = optax.softmax_cross_entropy(logits, targets).mean()
    correct = jnp.sum(jnp.argmax(logits, -1) == jnp.argmax(targets, -1))
    return loss, (updated["batch_stats"], loss, correct)


def _block_outputs(plan: NetworkPlan) -> list[str]:
    """Return the names of the last nodes of blocks, and of what is between them."""
    groups = itertools.groupby(plan.nodes, lambda node: (node.stage, node.repeat))
    return [list(nodes)[-1].name for _, nodes in groups]


def _update(setup: Setup, state: State, grads: Any, batch_stats: Any) -> State:
    """Apply the gradients of a step, and move the averages if they are kept."""
    with jax.numpy_dtype_promotion("standard"):  # optax counts in Python numbers
        updates, opt_state = setup.optimizer.update(
            grads, state.opt_state, state.params
        )
    params = optax.apply_updates(state.params, updates)
    average = state.average
    if average:
        # A smaller decay at first, as in TensorFlow's average: 40 steps at 0.98 would
        # leave almost half of the weight to the random initialisation.
        done = state.step.astype(jnp.float32)
        decay = jnp.minimum(setup.config.average, (1 + done) / (10 + done))
        average = optax.incremental_update((params, batch_stats), average, 1 - decay)
    return State(state.step + 1, params, batch_stats, opt_state, average, state.totals)

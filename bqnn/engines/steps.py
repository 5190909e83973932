"""Steps of training, as pure functions: state, loss, training and evaluation step."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import Array, lax

from bqnn.config import TrainConfig
from bqnn.networks.network import init_variables
from bqnn.networks.plan import NetworkPlan

# Statistics by channel: constants of a program or its arguments.
Channels = np.ndarray | Array


class TrainState(NamedTuple):
    """The state that a training step changes.

    Attributes:
      params: the parameters.
      batch_stats: the running statistics of batch normalisation.
      opt_state: the state of the optimiser.
    """

    params: Any
    batch_stats: Any
    opt_state: Any


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Make Adam without its learning rate.

    The rate is an argument of every step, so that a restart compiles nothing.
    """
    return optax.scale_by_adam(b1=config.b1, b2=config.b2, eps=config.eps)


def init_state(plan: NetworkPlan, config: TrainConfig, seed: int) -> TrainState:
    """Make the first state of a training: He initialisation from `seed`."""
    variables = jax.device_put(init_variables(plan, seed))
    opt_state = make_optimizer(config).init(variables["params"])
    return TrainState(variables["params"], variables["batch_stats"], opt_state)


def loss_fn(
    network: nn.Module, params: Any, batch_stats: Any, images: Array, labels: Array
) -> tuple[Array, Any]:
    """Compute the mean cross-entropy in training mode.

    Args:
      network: the module.
      params: its parameters.
      batch_stats: the running statistics before the batch.
      images: normalised images, float32 `[B, H, W, C]`.
      labels: their classes, int32 `[B]`.

    Returns:
      The loss, float32 `[]`, and the running statistics after the batch.
    """
    logits, updated = network.apply(
        {"params": params, "batch_stats": batch_stats},
        images,
        train=True,
        mutable=["batch_stats"],
    )
    return mean_loss(logits, labels), updated["batch_stats"]


def mean_loss(logits: Array, labels: Array) -> Array:
    """Average the cross-entropy.

    Args:
      logits: float32 `[B, K]`.
      labels: the classes, int32 `[B]`.

    Returns:
      The loss, float32 `[]`.
    """
    chex.assert_rank([logits, labels], [2, 1])
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def count_correct(logits: Array, labels: Array, mask: Array) -> Array:
    """Count the images under a mask that are classified right.

    Args:
      logits: float32 `[B, K]`.
      labels: the classes, int32 `[B]`.
      mask: False for padding, bool `[B]`.

    Returns:
      The number, int32 `[]`.
    """
    chex.assert_rank([logits, labels, mask], [2, 1, 1])
    return jnp.sum((jnp.argmax(logits, axis=-1) == labels) & mask)


def apply_gradients(
    optimizer: optax.GradientTransformation,
    params: Any,
    opt_state: Any,
    grads: Any,
    learning_rate: Array,
) -> tuple[Any, Any]:
    """Update the parameters and the state of the optimiser, both trees."""
    with jax.numpy_dtype_promotion("standard"):  # for optax's bias correction
        updates, opt_state = optimizer.update(grads, opt_state, params)
    updates = jax.tree.map(lambda u: -learning_rate * u, updates)
    return optax.apply_updates(params, updates), opt_state


def gather(images: Array, indices: Array, mean: Channels, std: Channels) -> Array:
    """Gather a batch and normalise it.

    Args:
      images: the whole data set, uint8 `[images, H, W, C]`.
      indices: the images of the batch, int32 `[B]`.
      mean: the mean by channel, in units of pixels, float32 `[C]`.
      std: the standard deviation, as `mean`.

    Returns:
      The batch, float32 `[B, H, W, C]`.
    """
    chex.assert_rank([images, indices], [4, 1])
    pixels = images[indices].astype(jnp.float32)
    return (pixels - mean.reshape(1, 1, 1, -1)) / std.reshape(1, 1, 1, -1)


def make_train_step(
    network: nn.Module,
    config: TrainConfig,
    mean: np.ndarray,
    std: np.ndarray,
    axis: str | None = None,
) -> Callable[..., tuple[TrainState, Array]]:
    """Make the pure training step of a network.

    It gathers its batch from the whole data set by its indices, and normalises it.

    Args:
      network: maps (images, train) to logits, as `bqnn.networks.network.Network` does.
      config: the recipe.
      mean: mean of the training images by channel, in units of pixels, float32 `[C]`.
      std: the standard deviation, as `mean`.
      axis: that the step is mapped over, where each has a part of the batch; None for
        the whole batch.

    Returns:
      (state, images, labels, indices, learning rate) -> (state, loss).
    """
    optimizer = make_optimizer(config)

    def train_step(
        state: TrainState,
        images: Array,
        labels: Array,
        indices: Array,
        learning_rate: Array,
    ) -> tuple[TrainState, Array]:
        grad = jax.value_and_grad(functools.partial(loss_fn, network), has_aux=True)
        (loss, batch_stats), grads = grad(
            state.params,
            state.batch_stats,
            gather(images, indices, mean, std),
            labels[indices],
        )
        if axis:
            loss, batch_stats, grads = lax.pmean((loss, batch_stats, grads), axis)
        params, opt_state = apply_gradients(
            optimizer, state.params, state.opt_state, grads, learning_rate
        )
        return TrainState(params, batch_stats, opt_state), loss

    return train_step


def make_eval_step(
    network: nn.Module, mean: np.ndarray, std: np.ndarray, axis: str | None = None
) -> Callable[..., Array]:
    """Make the pure evaluation step of a network; arguments as of `make_train_step`.

    Returns:
      (state, images, labels, indices, mask) -> number of images under the mask that are
      classified right, over all parts of the batch.
    """

    def eval_step(
        state: TrainState, images: Array, labels: Array, indices: Array, mask: Array
    ) -> Array:
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        logits, _ = network.apply(
            variables, gather(images, indices, mean, std), train=False, mutable=[]
        )
        correct = count_correct(logits, labels[indices], mask)
        return lax.psum(correct, axis) if axis else correct

    return eval_step

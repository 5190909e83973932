"""The pure functions of training: state, loss, training step, evaluation step."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import Array

from bqnn.config import TrainConfig
from bqnn.networks.network import init_variables
from bqnn.networks.plan import NetworkPlan

# Statistics by channel, whether numbers of the program or its arguments.
Channels = np.ndarray | Array


class TrainState(NamedTuple):
    """What a training step changes.

    Attributes:
      params: the parameters.
      batch_stats: running statistics of batch normalisation.
      opt_state: the optimiser's.
    """

    params: Any
    batch_stats: Any
    opt_state: Any


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Make Adam without its learning rate, which every step is given."""
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
      batch_stats: running statistics before the batch.
      images: normalised.  # [B, H, W, C]
      labels: classes.  # [B] int

    Returns:
      The loss  # []
      and the running statistics after the batch.
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
      logits: of the classes.  # [B, K]
      labels: classes.  # [B] int

    Returns:
      The loss.  # []
    """
    chex.assert_rank([logits, labels], [2, 1])
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def count_correct(logits: Array, labels: Array, mask: Array) -> Array:
    """Count the images classified right among those that count.

    Args:
      logits: of the classes.  # [B, K]
      labels: classes.  # [B] int
      mask: which images count.  # [B] bool

    Returns:
      The number.  # [] int32
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
    """Update parameters and the optimiser's state; each a tree."""
    with jax.numpy_dtype_promotion("standard"):  # optax's bias correction needs it
        updates, opt_state = optimizer.update(grads, opt_state, params)
    updates = jax.tree.map(lambda u: -learning_rate * u, updates)
    return optax.apply_updates(params, updates), opt_state


def gather(images: Array, indices: Array, mean: Channels, std: Channels) -> Array:
    """Gather a batch and normalise it.

    Args:
      images: the whole data set.  # [N, H, W, C] uint8
      indices: places of the batch.  # [B] int32
      mean: by channel, in units of pixels.  # [C]
      std: as `mean`.  # [C]

    Returns:
      The batch.  # [B, H, W, C] float32
    """
    chex.assert_rank([images, indices], [4, 1])
    pixels = images[indices].astype(jnp.float32)
    return (pixels - mean.reshape(1, 1, 1, -1)) / std.reshape(1, 1, 1, -1)


def make_steps(
    network: nn.Module, config: TrainConfig, mean: np.ndarray, std: np.ndarray
) -> tuple[Callable[..., tuple[TrainState, Array]], Callable[..., Array]]:
    """Make the pure training step and the pure evaluation step of a network.

    Both gather their batch from the whole data set by its indices, and normalise it.

    Args:
      network: maps (images, train) to logits, as `bqnn.networks.network.Network` does.
      config: the recipe.
      mean: of the training images, by channel, in units of pixels.  # [C]
      std: their standard deviation.  # [C]

    Returns:
      `train_step`: (state, images, labels, indices, learning rate) -> (state, loss),
      and `eval_step`: (state, images, labels, indices, mask) -> how many of those
      that count are right.
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
        params, opt_state = apply_gradients(
            optimizer, state.params, state.opt_state, grads, learning_rate
        )
        return TrainState(params, batch_stats, opt_state), loss

    def eval_step(
        state: TrainState, images: Array, labels: Array, indices: Array, mask: Array
    ) -> Array:
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        logits, _ = network.apply(
            variables, gather(images, indices, mean, std), train=False, mutable=[]
        )
        return count_correct(logits, labels[indices], mask)

    return train_step, eval_step

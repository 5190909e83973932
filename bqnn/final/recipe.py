"""Recipe: the optimiser of a full training, and its learning rate by update."""

import optax

from bqnn.final.config import RecipeConfig


def learning_rate(config: RecipeConfig, steps: int) -> optax.Schedule:
    """Make the learning rate, a function of the number of updates done.

    Args:
      config: recipe of the training.
      steps: number of updates in an epoch.
    """
    warmup = config.warmup * steps
    if config.schedule == "cosine":
        after = optax.cosine_decay_schedule(
            config.learning_rate, (config.epochs - config.warmup) * steps
        )
    else:
        falls = {
            (epoch - config.warmup) * steps: config.decay for epoch in config.milestones
        }
        after = optax.piecewise_constant_schedule(config.learning_rate, falls)
    if not warmup:
        return after
    rise = optax.linear_schedule(0.0, config.learning_rate, warmup)
    return optax.join_schedules([rise, after], [warmup])


def make_optimizer(config: RecipeConfig, steps: int) -> optax.GradientTransformation:
    """Make the optimiser: SGD with momentum and weight decay, and what `config` adds.

    Args:
      config: recipe of the training.
      steps: number of updates in an epoch.
    """
    parts = [
        optax.add_decayed_weights(config.weight_decay),
        optax.trace(config.momentum, config.nesterov),
        optax.scale_by_learning_rate(learning_rate(config, steps)),
    ]
    if config.clip:
        parts.insert(0, optax.clip_by_global_norm(config.clip))
    optimizer = optax.chain(*parts)
    if config.accumulate == 1:
        return optimizer
    return optax.MultiSteps(optimizer, config.accumulate).gradient_transformation()

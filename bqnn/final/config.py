"""Config of a full training: frozen dataclasses that check their values.

The defaults are the paper's training on CIFAR. Options that the paper does not have are
off by default.
"""

from dataclasses import dataclass, field

from bqnn.config import DataConfig, NetworkConfig
from bqnn.config.checks import (
    LARGE,
    Section,
    check,
    checked,
    fraction,
    one_of,
    positive,
    within,
)
from bqnn.errors import ConfigError

_LONGEST_SIDE = 8192  # pixels


@dataclass(frozen=True)
class FinalDataConfig(DataConfig):
    """The images to train on, and their augmentation.

    The right augmentation depends on the data set: digits may be shifted, not mirrored.
    If `pad` or `flip` is None, `bqnn.final.augment.choose_augmentation` chooses it.

    Attributes:
      validation: fraction of the training split held out, stratified by class; 0
        trains on all of it.
      resolution: side that images are resized to, in pixels; None keeps their size.
      pad: margin on each side, in pixels, before a random crop of the original size.
      flip: whether half of the images are mirrored.
      cutout: side of the square that is cut out, in pixels (DeVries and Taylor,
        *Improved regularization of convolutional neural networks with Cutout*, 2017); 0
        for none.
      streaming: read images from disk while training, as random resized crops (Szegedy
        et al., *Going deeper with convolutions*, 2015); for data sets that do not fit
        in memory, needs a `resolution`.
      workers: processes that decode images while streaming; 0 decodes in the training
        process.
    """

    validation: float = fraction(0.0)
    resolution: int | None = within(None, 1, _LONGEST_SIDE)
    pad: int | None = within(None, 0, _LONGEST_SIDE)
    flip: bool | None = None
    cutout: int = within(0, 0, 2 * _LONGEST_SIDE)
    streaming: bool = False
    workers: int = within(0, 0, 4096)

    def __post_init__(self) -> None:
        """Check every field, and that streamed images have one size."""
        super().__post_init__()
        if self.streaming and self.resolution is None:
            raise ConfigError(
                "data.streaming needs one size for all images: set data.resolution"
            )


@dataclass(frozen=True)
class RecipeConfig(Section):
    """How to train to convergence (the paper, CIFAR and ImageNet): SGD.

    Attributes:
      epochs: passes over the training part.
      batch: images per update, over all devices of all hosts.
      learning_rate: the first learning rate, or after a warm-up the largest.
      schedule: `steps` multiplies the learning rate by `decay` at every milestone;
        `cosine` lets it fall to 0 (Loshchilov and Hutter, *SGDR*, 2017, without
        restarts).
      milestones: epochs at which the schedule `steps` lowers the learning rate.
      decay: factor of the schedule `steps`.
      warmup: epochs over which the learning rate rises from 0 (Goyal et al., *Accurate,
        large minibatch SGD*, 2017).
      momentum: coefficient of the momentum.
      nesterov: whether the momentum is Nesterov's (Sutskever et al., *On the importance
        of initialization and momentum*, 2013).
      weight_decay: decay of every parameter, those of normalisation included (ours).
      label_smoothing: weight of the uniform distribution in the labels (Szegedy et al.,
        *Rethinking the Inception architecture*, 2016).
      mixup: alpha of the Beta distribution by which pairs of images are blended (Zhang
        et al., *mixup*, 2018); 0 for none.
      average: decay of the exponential moving average of the weights, with which the
        network is then evaluated (Polyak and Juditsky, 1992); 0 for none.
      clip: largest norm of a gradient (Pascanu et al., 2013); 0 for no limit.
      accumulate: steps whose gradients make one update; each has batch / accumulate
        images, and batch normalisation sees no more at once.
      dtype: data type of the computation, `float32` or `bfloat16`; parameters are
        float32.
      remat: keep only the outputs of blocks for the backward pass, and compute the rest
        again (Chen et al., *Training deep nets with sublinear memory cost*, 2016).
      sync_batch_stats: normalise by the whole batch, not by each device's part of it.
      checkpoint_every: epochs between checkpoints.
      seed: seed of the first weights, of the order of the images and of their
        augmentation.
      threads: CPU threads; None takes all cores of this process. It changes the
        rounding.
    """

    section = "train"

    epochs: int = within(300, 1, 100_000)
    batch: int = within(128, 1, 1_000_000)
    learning_rate: float = positive(0.1)
    schedule: str = one_of("steps", "cosine")
    milestones: tuple[int, ...] = checked(
        (150, 225),
        lambda epochs: (
            list(epochs) == sorted(set(epochs))
            and all(1 <= epoch <= 100_000 for epoch in epochs)
        ),
        "rising epochs from 1",
    )
    decay: float = positive(0.1)
    warmup: int = within(0, 0, 100_000)
    momentum: float = fraction(0.9)
    nesterov: bool = False
    weight_decay: float = within(0.0005, 0, LARGE)
    label_smoothing: float = fraction(0.0)
    mixup: float = within(0.0, 0, LARGE)
    average: float = fraction(0.0)
    clip: float = within(0.0, 0, LARGE)
    accumulate: int = within(1, 1, 1_000_000)
    dtype: str = one_of("float32", "bfloat16")
    remat: bool = False
    sync_batch_stats: bool = True
    checkpoint_every: int = within(1, 1, 100_000)
    seed: int = within(0, 0, 2**31 - 1)
    threads: int | None = within(None, 1, 4096)

    def __post_init__(self) -> None:
        """Check every field, and that fields agree."""
        super().__post_init__()
        check("train.warmup", self.warmup, self.warmup < self.epochs, "below epochs")
        if self.batch % self.accumulate:
            raise ConfigError(
                f"train.batch is {self.batch}: want a multiple of train.accumulate, "
                f"which is {self.accumulate}"
            )

    @property
    def step_batch(self) -> int:
        """Images per step; `accumulate` steps make an update."""
        return self.batch // self.accumulate


@dataclass(frozen=True)
class FinalConfig:
    """All that a full training depends on, except block and images."""

    data: FinalDataConfig = field(
        default_factory=lambda: FinalDataConfig(name="cifar10")
    )
    network: NetworkConfig = field(default_factory=lambda: NetworkConfig("auto"))
    train: RecipeConfig = field(default_factory=RecipeConfig)

"""The configuration of a full training: frozen dataclasses, validated.

The defaults are the paper's training on CIFAR. What goes beyond the paper
is off by default.
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
    """Which images to learn from, and how they are varied while learning.

    What suits an image depends on the data set: digits may be shifted and not flipped.
    So `pad` and `flip` follow the data set (`bqnn.final.augment.suited`) unless given.

    Attributes:
      validation: fraction of the training split held out, stratified by class; 0
        trains on all of it.
      resolution: side that images are resized to; their own if None.
      pad: pixels of margin on each side before a random crop of the old size.
      flip: whether half of the images are mirrored.
      cutout: side of the square that is blanked (DeVries and Taylor, *Improved
        regularization of convolutional neural networks with Cutout*, 2017); 0 for none.
      streaming: read images from disk as they are needed, by random resized crops
        (Szegedy et al., *Going deeper with convolutions*, 2015), for what does not fit
        in memory; needs a `resolution`.
      workers: processes that decode images while streaming; 0 for none of their own.
    """

    validation: float = fraction(0.0)
    resolution: int | None = within(None, 1, _LONGEST_SIDE)
    pad: int | None = within(None, 0, _LONGEST_SIDE)
    flip: bool | None = None
    cutout: int = within(0, 0, 2 * _LONGEST_SIDE)
    streaming: bool = False
    workers: int = within(0, 0, 4096)

    def __post_init__(self) -> None:
        """Check every field, and that what is streamed has one size."""
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
      batch: images per step, over all devices of all hosts.
      learning_rate: the first, or after a warm-up the largest.
      schedule: `steps`: divided at every milestone; `cosine`: falls to 0 (Loshchilov
        and Hutter, *SGDR*, 2017, without restarts).
      milestones: epochs at which `steps` multiplies by `decay`.
      decay: see `milestones`.
      warmup: epochs over which the learning rate rises from 0 (Goyal et al., *Accurate,
        large minibatch SGD*, 2017).
      momentum: of SGD.
      nesterov: whether it looks ahead (Sutskever et al., *On the importance of
        initialization and momentum*, 2013).
      weight_decay: of every parameter, normalisation's too (ours).
      label_smoothing: weight of the uniform distribution in the labels (Szegedy et al.,
        *Rethinking the Inception architecture*, 2016).
      mixup: alpha of the Beta distribution by which pairs of images are blended (Zhang
        et al., *mixup*, 2018); 0 for none.
      average: decay of the exponential moving average of the weights, by which the
        network is then measured (Polyak and Juditsky, 1992); 0 for none.
      clip: the largest norm of a gradient (Pascanu et al., 2013); 0 for any.
      accumulate: steps whose gradients make one update; each has batch / accumulate
        images, and batch normalisation sees no more at once.
      dtype: of the computation, `float32` or `bfloat16`; parameters are float32.
      remat: keep only the outputs of blocks for the backward pass, and compute the rest
        again (Chen et al., *Training deep nets with sublinear memory cost*, 2016).
      sync_batch_stats: normalise by the whole batch, not by each device's part of it.
      checkpoint_every: epochs between checkpoints.
      seed: of the first weights, the order of the images and their variation.
      threads: CPU threads; all cores of this process if None. It changes the rounding.
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
        """Check every field, and what fields say of each other."""
        super().__post_init__()
        check("train.warmup", self.warmup, self.warmup < self.epochs, "below epochs")
        if self.batch % self.accumulate:
            raise ConfigError(
                f"train.batch is {self.batch}: want a multiple of train.accumulate, "
                f"which is {self.accumulate}"
            )

    @property
    def step_batch(self) -> int:
        """Images of one step, of which `accumulate` make an update."""
        return self.batch // self.accumulate


@dataclass(frozen=True)
class FinalConfig:
    """All that a full training depends on, besides block and data."""

    data: FinalDataConfig = field(
        default_factory=lambda: FinalDataConfig(name="cifar10")
    )
    network: NetworkConfig = field(default_factory=lambda: NetworkConfig("auto"))
    train: RecipeConfig = field(default_factory=RecipeConfig)

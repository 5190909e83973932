"""The configuration of a full training: frozen dataclasses, validated.

The defaults are the paper's training on CIFAR. What goes beyond the paper
is off by default.
"""

from dataclasses import dataclass, field

from bqnn.config import DataConfig, NetworkConfig
from bqnn.config.checks import LARGE, check, one_of, positive, within
from bqnn.errors import ConfigError


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

    validation: float = 0.0
    resolution: int | None = None
    pad: int | None = None
    flip: bool | None = None
    cutout: int = 0
    streaming: bool = False
    workers: int = 0

    def __post_init__(self) -> None:
        """Validate the values."""
        super().__post_init__()
        side, pad = self.resolution, self.pad
        most = 8192  # pixels
        ok, want = side is None or 1 <= side <= most, f"1 to {most:,}"
        check("data.resolution", side, ok, want)
        ok, want = pad is None or 0 <= pad <= most, f"0 to {most:,}"
        check("data.pad", pad, ok, want)
        within("data", self, {"cutout": (0, 2 * most), "workers": (0, 4096)})
        if self.streaming and side is None:
            raise ConfigError(
                "data.streaming needs one size for all images: set data.resolution"
            )


@dataclass(frozen=True)
class RecipeConfig:
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

    epochs: int = 300
    batch: int = 128
    learning_rate: float = 0.1
    schedule: str = "steps"
    milestones: tuple[int, ...] = (150, 225)
    decay: float = 0.1
    warmup: int = 0
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0005
    label_smoothing: float = 0.0
    mixup: float = 0.0
    average: float = 0.0
    clip: float = 0.0
    accumulate: int = 1
    dtype: str = "float32"
    remat: bool = False
    sync_batch_stats: bool = True
    checkpoint_every: int = 1
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        """Validate the values."""
        ranges = {
            "epochs": (1, 100_000),
            "batch": (1, 1_000_000),
            "accumulate": (1, 1_000_000),
            "checkpoint_every": (1, 100_000),
            "warmup": (0, 100_000),
            "weight_decay": (0, LARGE),
            "mixup": (0, LARGE),
            "clip": (0, LARGE),
        }
        within("train", self, ranges)
        positive("train", self, ("learning_rate", "decay"))
        for name in ("momentum", "label_smoothing", "average"):
            value = getattr(self, name)
            check(f"train.{name}", value, 0 <= value < 1, "a number in [0, 1)")
        one_of("train.schedule", self.schedule, ("steps", "cosine"))
        one_of("train.dtype", self.dtype, ("float32", "bfloat16"))
        rising = list(self.milestones) == sorted(set(self.milestones))
        ok = rising and all(1 <= epoch <= 100_000 for epoch in self.milestones)
        check("train.milestones", self.milestones, ok, "rising epochs from 1")
        check("train.seed", self.seed, 0 <= self.seed < 2**31, "0 to 2**31 - 1")
        threads = self.threads
        ok = threads is None or 1 <= threads <= 4096
        check("train.threads", threads, ok, "1 to 4,096")
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

"""Settings: shapes, recipe, data and blocks of the candidates of a benchmark."""

from typing import NamedTuple

import numpy as np

from bqnn.config import NetworkConfig, TrainConfig
from bqnn.data import Dataset, Images
from bqnn.networks.plan import ImageSpec, NetworkPlan, plan
from bqnn.space.actions import NscSpace
from bqnn.space.nsc import Block, parse

BLOCKS = tuple(
    parse(text)
    for text in (
        "1,1,3,0,0",
        "1,1,1,0,0;2,2,3,0,0;3,5,0,1,2",
        "1,1,3,0,0;2,1,3,1,0;3,5,0,0,2",
        "1,1,5,0,0;2,3,3,0,0;3,6,0,1,2",
        "1,2,3,0,0;2,1,3,1,0;3,1,1,0,0;4,6,0,2,3",
        "1,1,1,0,0;2,1,3,1,0;3,1,1,2,0;4,5,0,0,3;5,2,3,4,0",
        "1,1,3,0,0;2,1,5,0,0;3,2,3,0,0;4,5,0,1,2;5,6,0,3,4",
        "1,1,3,0,0;2,3,3,1,0;3,1,5,2,0;4,5,0,1,3;5,4,0,4,0;6,1,1,0,0",
    )
)
"""The fixed blocks: every layer type, one to six layers."""

MAX_LAYERS = 6


class BenchSetting(NamedTuple):
    """Shapes and recipe.

    Attributes:
      name: its name in the table.
      images: shape of the images, and number of classes.
      network: how blocks are stacked.
      train: the recipe, without restarts, so that all contenders do the same work.
      train_images, validation_images: numbers of images.
    """

    name: str
    images: ImageSpec
    network: NetworkConfig
    train: TrainConfig
    train_images: int
    validation_images: int

    @property
    def steps(self) -> int:
        """Optimiser steps of one candidate."""
        return self.train.epochs * (self.train_images // self.train.batch)

    def plan(self, block: Block) -> NetworkPlan:
        """Stack a block."""
        return plan(block, self.network, self.images)

    def dataset(self) -> Dataset:
        """Make images of noise whose brightness depends on the class."""
        rng, channels = np.random.default_rng(0), self.images.channels
        return Dataset(
            train=self._images(rng, self.train_images),
            validation=self._images(rng, self.validation_images),
            class_names=tuple(map(str, range(self.images.num_classes))),
            mean=np.full(channels, 120, np.float32),
            std=np.full(channels, 60, np.float32),
        )

    def _images(self, rng: np.random.Generator, count: int) -> Images:
        height, width, channels, classes = self.images
        labels = rng.integers(0, classes, count).astype(np.int32)
        noise = rng.integers(0, 56, (count, height, width, channels))
        level = labels * (200 // classes)
        return Images((noise + level.reshape(-1, 1, 1, 1)).astype(np.uint8), labels)


SETTINGS = {
    "quickstart": BenchSetting(
        "quickstart",
        ImageSpec(8, 8, 1, 10),
        NetworkConfig("small", (16, 32, 64), repeats=1),
        TrainConfig(epochs=2, batch=64, restarts=0),
        train_images=1152,
        validation_images=288,
    ),
    "cifar": BenchSetting(
        "cifar",
        ImageSpec(32, 32, 3, 100),
        NetworkConfig("cifar", (32, 64, 128), repeats=2),
        TrainConfig(epochs=1, batch=128, restarts=0),
        train_images=640,
        validation_images=256,
    ),
    # The paper's networks and batch, on as many images as 20 steps take.
    "paper": BenchSetting(
        "paper",
        ImageSpec(32, 32, 3, 100),
        NetworkConfig("cifar", (32, 64, 128), repeats=4),
        TrainConfig(epochs=1, batch=256, restarts=0),
        train_images=5120,
        validation_images=512,
    ),
}
"""Settings by name, for `--settings`."""


def random_blocks(
    count: int, seed: int, max_layers: int = MAX_LAYERS
) -> tuple[Block, ...]:
    """Draw blocks with every legal code equally likely, as the agent explores."""
    space, rng = NscSpace(max_layers), np.random.default_rng(seed)
    blocks = []
    for _ in range(count):
        actions = np.full(max_layers, -1, np.int32)
        for t, choices in enumerate(space.arrays.num_actions):
            actions[t] = rng.integers(choices)
            if actions[t] == space.arrays.stop[t]:
                break
        blocks.append(space.decode(actions))
    return tuple(blocks)

"""PyTorch full training: a twin of `bqnn.final.step`, to compare with on the CPU.

PyTorch is optional: nothing outside `benchmarks` imports this module.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from benchmarks.setting import BenchSetting
from benchmarks.torch_fit import shuffled
from benchmarks.torch_network import TorchNetwork
from bqnn.final.augment import Augmentation, choose_augmentation
from bqnn.final.config import FinalDataConfig, RecipeConfig
from bqnn.space.nsc import Block


def train_in_full(
    setting: BenchSetting, block: Block, threads: int, compiled: bool
) -> Callable[[int], None]:
    """Begin a training by the paper's recipe: fused SGD, random crops, mirrored images.

    Args:
      setting: shapes and batch.
      block: the block to train.
      threads: PyTorch's threads.
      compiled: whether the network goes through `torch.compile`.

    Returns:
      A function that takes so many steps, and waits for them.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    recipe, dataset = RecipeConfig(batch=setting.train.batch), setting.dataset()
    network: nn.Module = TorchNetwork(setting.plan(block)).train()
    optimizer = torch.optim.SGD(
        network.parameters(),
        recipe.learning_rate,
        recipe.momentum,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    forward = torch.compile(network) if compiled else network
    data = TrainingData(
        torch.from_numpy(dataset.train.images),
        torch.from_numpy(dataset.train.labels).long(),
        torch.from_numpy(dataset.mean),
        torch.from_numpy(dataset.std),
        choose_augmentation(FinalDataConfig(), setting.images),
    )
    batches = shuffled(len(dataset.train.labels), recipe.batch, seed=0)

    def take_steps(steps: int) -> None:
        for indices in itertools.islice(batches, steps):
            images, labels = data.batch(indices)
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(forward(images), labels).backward()
            optimizer.step()

    return take_steps


class TrainingData(NamedTuple):
    """The training part.

    Attributes:
      images: uint8 `[images, H, W, C]`.
      labels: int64 `[images]`.
      mean, std: by channel, in units of pixels, float32 `[C]`.
      augmentation: of the images; `cutout` is ignored.
    """

    images: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor
    augmentation: Augmentation

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Gather a batch, crop and mirror its images at random, and normalise them.

        Args:
          indices: the images of the batch, int64 `[B]`.

        Returns:
          Images, float32 `[B, C, H, W]` in channels_last, and their classes, int64
          `[B]`.
        """
        pad, batch = self.augmentation.pad, len(indices)
        height, width, channels = self.images.shape[1:]
        shape = (batch, height + 2 * pad, width + 2 * pad, channels)
        padded = self.mean.expand(shape).clone()
        inside = padded[:, pad : pad + height, pad : pad + width]
        inside.copy_(self.images.index_select(0, indices))
        top, left = torch.randint(0, 2 * pad + 1, (2, batch, 1))
        columns = torch.arange(width).expand(batch, width)
        if self.augmentation.flip:
            mirrored = torch.rand(batch, 1) < 0.5
            columns = torch.where(mirrored, width - 1 - columns, columns)
        rows = top + torch.arange(height)
        image = torch.arange(batch)[:, None, None]
        pixels = padded[image, rows[:, :, None], (left + columns)[:, None, :]]
        images = pixels.sub_(self.mean).div_(self.std).permute(0, 3, 1, 2)
        return images, self.labels.index_select(0, indices)

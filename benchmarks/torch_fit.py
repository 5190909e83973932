"""PyTorch training: a twin of `bqnn.evaluation.fit`, to compare with on the CPU.

PyTorch is optional: nothing outside `benchmarks` imports this module.
"""

import itertools
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from benchmarks.torch_network import TorchNetwork
from bqnn.config import TrainConfig
from bqnn.data import Dataset
from bqnn.errors import ConfigError, quote
from bqnn.networks.plan import NetworkPlan


class TorchFit(NamedTuple):
    """Result of a training.

    Attributes:
      accuracy: validation accuracy after the last step, as a fraction.
      seconds: wall time by phase: prepare, train, evaluate.
    """

    accuracy: float
    seconds: dict[str, float]


def train_steps(
    plan: NetworkPlan, config: TrainConfig, dataset: Dataset, seed: int, steps: int
) -> TorchFit:
    """Build, initialise, train and measure a network with PyTorch on the CPU.

    Sets PyTorch's threads to those of the configuration. The images come in the order
    of `bqnn.evaluation.fit` with the same seed; the initial weights differ. The first
    call of a process takes two seconds longer for imports of PyTorch: call it twice.

    Args:
      plan: the network.
      config: the recipe; `epochs` and restarts are ignored.
      dataset: its training part is trained on, its validation part measured on.
      seed: seed of the initialisation and of the order of the images.
      steps: steps of the optimiser.

    Raises:
      ConfigError: if the dtype is not float32.
    """
    if config.dtype != "float32":
        raise ConfigError(f"train.dtype is {quote(config.dtype)}: want float32")
    torch.set_num_threads(config.threads)
    times = [time.perf_counter()]
    trainer = _Trainer(plan, config, dataset, seed)
    times.append(time.perf_counter())
    trainer.train(steps)
    times.append(time.perf_counter())
    accuracy = trainer.accuracy()
    times.append(time.perf_counter())
    phases = ("prepare", "train", "evaluate")
    return TorchFit(accuracy, dict(zip(phases, np.diff(times).tolist(), strict=True)))


class _Trainer:
    """Network, optimiser and data of one candidate."""

    def __init__(
        self, plan: NetworkPlan, config: TrainConfig, dataset: Dataset, seed: int
    ) -> None:
        self.seed = seed
        self.batch = min(config.batch, len(dataset.train.labels))
        self.train_data, self.validation_data = (
            _Data(
                torch.from_numpy(part.images),
                torch.from_numpy(part.labels).long(),
                torch.from_numpy(dataset.mean),
                torch.from_numpy(dataset.std),
            )
            for part in (dataset.train, dataset.validation)
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = TorchNetwork(plan)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(),
            config.learning_rate,
            (config.b1, config.b2),
            config.eps,
            fused=True,  # on the CPU half the time of `foreach`
        )
        epoch = len(dataset.train.labels) // self.batch
        self.schedule = torch.optim.lr_scheduler.StepLR(
            self.optimizer, config.decay_epochs * epoch, config.decay
        )

    def train(self, steps: int) -> None:
        """Take `steps` steps of the optimiser."""
        self.network.train()
        batches = shuffled(len(self.train_data.labels), self.batch, self.seed)
        for indices in itertools.islice(batches, steps):
            images, labels = self.train_data.batch(indices)
            self.optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(self.network(images), labels).backward()
            self.optimizer.step()
            self.schedule.step()

    def accuracy(self) -> float:
        """Measure the fraction of validation images that are classified right."""
        self.network.eval()
        total, correct = len(self.validation_data.labels), 0
        with torch.inference_mode():
            for indices in torch.arange(total).split(self.batch):
                images, labels = self.validation_data.batch(indices)
                correct += int((self.network(images).argmax(1) == labels).sum())
        return correct / total


def shuffled(total: int, batch: int, seed: int) -> Iterator[Tensor]:
    """Yield the batches of one epoch after the other, for ever.

    The last partial batch of an epoch is left out.

    Args:
      total: number of images.
      batch: images in a batch, B.
      seed: seed of the order.

    Yields:
      Indices of images, int64 `[B]`.
    """
    for epoch in itertools.count():
        rng = np.random.Generator(np.random.Philox([seed, epoch]))
        order = torch.from_numpy(rng.permutation(total))
        yield from order[: total // batch * batch].split(batch)


class _Data(NamedTuple):
    """One part of the data set.

    Attributes:
      images: uint8 `[images, H, W, C]`.
      labels: int64 `[images]`.
      mean, std: by channel, in units of pixels, float32 `[C]`.
    """

    images: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Gather a batch.

        Args:
          indices: the images of the batch, int64 `[B]`.

        Returns:
          Normalised images, float32 `[B, C, H, W]` in channels_last, and their classes,
          int64 `[B]`.
        """
        pixels = self.images.index_select(0, indices).float()
        images = pixels.sub_(self.mean).div_(self.std).permute(0, 3, 1, 2)
        return images, self.labels.index_select(0, indices)

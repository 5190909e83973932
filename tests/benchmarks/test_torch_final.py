"""The PyTorch twin of full training: its images are varied as ours are."""

import numpy as np
import pytest

from bqnn.final.augment import Augmentation

pytest.importorskip("torch")

import torch

from benchmarks.torch_final import TrainingData


def test_a_batch_is_cropped_mirrored_and_normalised() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(1, 250, (32, 5, 5, 2)).astype(np.uint8)
    mean, std = np.array([100.0, 50.0], np.float32), np.array([20.0, 10.0], np.float32)
    data = TrainingData(
        torch.from_numpy(images),
        torch.arange(32),
        torch.from_numpy(mean),
        torch.from_numpy(std),
        Augmentation(pad=1, flip=True, cutout=0),
    )
    torch.manual_seed(0)
    batch, labels = data.batch(torch.arange(31, -1, -1))
    assert labels.tolist() == list(range(31, -1, -1))
    assert batch.is_contiguous(memory_format=torch.channels_last)
    found = set()
    for image, label in zip(batch.permute(0, 2, 3, 1).numpy(), labels, strict=True):
        padded = np.tile(mean, (7, 7, 1))
        padded[1:6, 1:6] = images[label]
        crops = {
            (top, left, step): padded[top : top + 5, left : left + 5][:, ::step]
            for top in range(3)
            for left in range(3)
            for step in (1, -1)
        }
        (which,) = [
            key
            for key, crop in crops.items()
            if np.allclose((crop - mean) / std, image, atol=1e-5)
        ]
        found.add(which)
    assert {step for _, _, step in found} == {1, -1}
    assert len({crop[:2] for crop in found}) > 5

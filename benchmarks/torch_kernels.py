"""PyTorch kernels: what `benchmarks.kernels` compares with PyTorch, on the CPU.

PyTorch is optional: nothing outside `benchmarks` imports this module.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

torch.set_num_threads(1)


def depthwise(x: Any, kernel: Any) -> Callable[[], Any]:
    """Make a call of a depthwise convolution and its gradients, in channels_last.

    Args:
      x: images, float32 `[B, H, W, C]`.
      kernel: weights, float32 `[k, k, 1, C]`.
    """
    images = _leaf(x, (0, 3, 1, 2))
    weights = _leaf(kernel, (3, 2, 0, 1))

    def call() -> Any:
        padding = weights.shape[-1] // 2
        y = F.conv2d(images, weights, padding=padding, groups=images.shape[1])
        return torch.autograd.grad(y, (images, weights), y.detach())

    return call


def _leaf(array: Any, axes: tuple[int, ...]) -> torch.Tensor:
    tensor = torch.from_numpy(np.array(array)).permute(axes)
    return tensor.contiguous(memory_format=torch.channels_last).requires_grad_()

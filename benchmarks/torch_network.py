"""PyTorch network: a twin of `bqnn.networks.network`, to compare with on the CPU.

It computes the same functions of the same plan, eagerly; tensors are `[B, C, H, W]` in
the format channels_last. One difference: PyTorch's running variance follows the
unbiased estimate, which is n / (n - 1) times ours; n is the number of values of a
channel in a batch.

PyTorch is optional: nothing outside `benchmarks` imports this module.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import convert_conv2d_weight_memory_format

from bqnn.networks.plan import NetworkPlan, Node


class TorchNetwork(nn.Module):
    """A network of the plan's nodes, freshly initialised from torch's generator."""

    def __init__(self, plan: NetworkPlan) -> None:
        """Build the modules of `plan`, their parameters in channels_last."""
        super().__init__()
        self.inputs = [node.inputs for node in plan.nodes[1:]]
        self.last_reads = _last_reads(self.inputs)
        self.layers = nn.ModuleDict(
            {
                node.name: MODULES[node.op](node, plan.nodes[node.inputs[0]])
                for node in plan.nodes[1:]
            }
        )
        convert_conv2d_weight_memory_format(self, torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits.

        Args:
          images: normalised images, float32 `[B, C, H, W]`.

        Returns:
          Logits, float32 `[B, K]`.
        """
        values = {0: images}
        walk = zip(self.layers.values(), self.inputs, self.last_reads, strict=True)
        for index, (layer, inputs, last_reads) in enumerate(walk, 1):
            values[index] = layer(*[values[i] for i in inputs])
            for i in last_reads:  # otherwise fresh memory costs a fifth of the time
                del values[i]
        return values[len(self.inputs)]


class ConvolutionNorm(nn.Module):
    """Convolution without bias, then batch normalisation: the stem."""

    def __init__(self, node: Node, source: Node) -> None:
        """Build the layer of `node`, which reads `source`."""
        super().__init__()
        top, bottom = _same_padding(source.height, node)
        left, right = _same_padding(source.width, node)
        # PyTorch's convolution pads both sides alike. If they differ, the input is
        # padded first.
        even = top == bottom and left == right
        self.pad = None if even else (left, right, top, bottom)
        self.conv = HeConvolution(
            source.channels,
            node.channels,
            node.kernel,
            node.stride,
            (top, left) if even else 0,
            bias=False,
        )
        # PyTorch's momentum is the weight of the new statistics, 1 - 0.9.
        self.norm = nn.BatchNorm2d(node.channels, eps=1e-5, momentum=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, F, H / stride, W / stride]`, rounded up."""
        if self.pad is not None:
            x = F.pad(x, self.pad)
        return self.norm(self.conv(x))


class PreActivationConvolution(ConvolutionNorm):
    """ReLU, convolution, batch normalisation."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, F, H, W]`."""
        return super().forward(F.relu(x))  # others may read `x`


class SeparableConvolution(nn.Module):
    """ReLU, depthwise and 1x1 convolution, batch normalisation."""

    def __init__(self, node: Node, source: Node) -> None:
        """Build the layer of `node`, which reads `source`."""
        super().__init__()
        channels, kernel = source.channels, node.kernel
        self.depthwise = HeConvolution(
            channels, channels, kernel, 1, kernel // 2, groups=channels, bias=False
        )
        self.pointwise = HeConvolution(channels, node.channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(node.channels, eps=1e-5, momentum=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, F, H, W]`."""
        return self.norm(self.pointwise(self.depthwise(F.relu(x))))


class Pooling(nn.Module):
    """The largest or the mean value under a window, padding excluded."""

    def __init__(self, node: Node, source: Node, pool: Callable[..., Tensor]) -> None:
        """Build the layer of `node`, which reads `source`, with a pooling of torch."""
        super().__init__()
        self.pool, self.kernel, self.stride = pool, node.kernel, node.stride
        # "SAME" may pad an axis by one more at its end than at its start. With a
        # stride, ceil_mode has the same effect. Without one, both ends are padded, and
        # the first row and column of the result are cut off.
        self.cut = node.stride == 1 and node.kernel % 2 == 0
        top, left = (_same_padding(n, node)[0] for n in (source.height, source.width))
        self.padding = (top + self.cut, left + self.cut)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, C, H / stride, W / stride]`, rounded up."""
        x = self.pool(x, self.kernel, self.stride, self.padding, ceil_mode=True)
        return x[..., 1:, 1:] if self.cut else x


average_pool = functools.partial(F.avg_pool2d, count_include_pad=False)


class Add(nn.Module):
    """Elemental addition."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Add two `[B, C, H, W]`."""
        return a + b


class Concat(nn.Module):
    """Concatenation along the channels."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map several `[B, C_i, H, W]` to `[B, sum of C_i, H, W]`."""
        return torch.cat(inputs, dim=1)


class Head(nn.Module):
    """ReLU, global average pooling and a dense layer with bias."""

    def __init__(self, node: Node, source: Node) -> None:
        """Build the layer of `node`, which reads `source`."""
        super().__init__()
        self.dense = HeLinear(source.channels, node.channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to logits, `[B, K]`."""
        return self.dense(F.relu(x).mean((2, 3)))


class HeConvolution(nn.Conv2d):
    """Convolution with He initialisation."""

    def reset_parameters(self) -> None:
        """Draw the kernel."""
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")


class HeLinear(nn.Linear):
    """Dense layer with He initialisation."""

    def reset_parameters(self) -> None:
        """Draw the kernel; the bias is zero."""
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        nn.init.zeros_(self.bias)


def _pooling(node: Node, source: Node, pool: Callable[..., Tensor]) -> nn.Module:
    return nn.Identity() if node.kernel == 1 else Pooling(node, source, pool)


MODULES: dict[str, Callable[[Node, Node], nn.Module]] = {
    "stem": ConvolutionNorm,
    "pcc": PreActivationConvolution,
    "separable": SeparableConvolution,
    "max_pool": lambda node, source: _pooling(node, source, F.max_pool2d),
    "average_pool": lambda node, source: _pooling(node, source, average_pool),
    "identity": lambda node, source: nn.Identity(),
    "add": lambda node, source: Add(),
    "concat": lambda node, source: Concat(),
    "head": Head,
}
"""The module of every `Node.op`, from the node and its first input."""


def _last_reads(inputs: list[tuple[int, ...]]) -> list[set[int]]:
    """List, for every node, its inputs that no later node reads."""
    found: list[set[int]] = []
    later: set[int] = set()
    for indices in reversed(inputs):
        found.append(set(indices) - later)
        later.update(indices)
    return found[::-1]


def _same_padding(size: int, node: Node) -> tuple[int, int]:
    """Return the padding before and after an axis for XLA's "SAME"."""
    covered = (-(-size // node.stride) - 1) * node.stride + node.kernel
    total = max(covered - size, 0)
    return total // 2, total - total // 2

"""A trained BlockQNN network in Flax. It needs jax and flax; for image files, pillow.

  python model.py image.png ...

classifies image files. In a program, `logits(images)` runs the trained network, and
`load(folder)` returns the module and its variables to build upon. Axes: B images of a
batch, K classes, H, W and C of an image.
"""

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization
from jax import Array

WEIGHTS = "weights.msgpack"


class Node(NamedTuple):
    """One operation of the network.

    Attributes:
      name: the name of the node and of its parameters.
      op: a key of `OPERATIONS`.
      inputs: names of the nodes that it reads.
      filters: channels of its output, if it has weights.
      kernel: side of its window, if it has one.
      stride: stride of its window.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    filters: int = 0
    kernel: int = 0
    stride: int = 1


# --- the network ---
# `bqnn.export.flax_format` replaces these lines by those of a trained network.
NODES: tuple[Node, ...] = ()
CLASS_NAMES: tuple[str, ...] = ()
IMAGE_SHAPE = (0, 0, 0)  # height, width, channels
MEAN: tuple[float, ...] = ()  # by channel, in units of pixels
STD: tuple[float, ...] = ()
DTYPE = "float32"
OWN: dict[str, Callable[..., nn.Module]] = {}  # layers of the user's own
# --- end of the network ---


class ConvolutionNorm(nn.Module):
    """Convolution without bias, then batch normalisation by the running statistics."""

    node: Node
    dtype: str

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map `[B, H, W, C]` to `[B, H / stride, W / stride, filters]`."""
        _, _, _, filters, kernel, stride = self.node
        x = nn.Conv(
            filters,
            (kernel, kernel),
            stride,
            "SAME",
            use_bias=False,
            dtype=self.dtype,
            precision="highest",  # the same numbers on every device
            name="conv",
        )(x)
        norm = nn.BatchNorm(use_running_average=True, epsilon=1e-5, name="norm")
        return norm(x.astype(jnp.float32)).astype(self.dtype)


class SeparableConvolution(nn.Module):
    """ReLU, depthwise and 1x1 convolution, normalisation by the running statistics."""

    node: Node
    dtype: str

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map `[B, H, W, C]` to `[B, H, W, filters]`."""
        channels = x.shape[-1]
        for filters, kernel, groups, name in (
            (channels, self.node.kernel, channels, "depthwise"),
            (self.node.filters, 1, 1, "pointwise"),
        ):
            x = nn.Conv(
                filters,
                (kernel, kernel),
                feature_group_count=groups,
                use_bias=False,
                dtype=self.dtype,
                precision="highest",
                name=name,
            )(nn.relu(x) if name == "depthwise" else x)
        norm = nn.BatchNorm(use_running_average=True, epsilon=1e-5, name="norm")
        return norm(x.astype(jnp.float32)).astype(self.dtype)


class Head(nn.Module):
    """ReLU, global average pooling, and a dense layer."""

    node: Node
    dtype: str

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map `[B, H, W, C]` to logits, float32 `[B, K]`."""
        dense = nn.Dense(
            self.node.filters, dtype=self.dtype, precision="highest", name="dense"
        )
        return dense(nn.relu(x).mean(axis=(1, 2))).astype(jnp.float32)


def max_pool(node: Node, x: Array) -> Array:
    """Take the largest value in a window."""
    window, strides = (node.kernel,) * 2, (node.stride,) * 2
    return nn.max_pool(x, window_shape=window, strides=strides, padding="SAME")


def average_pool(node: Node, x: Array) -> Array:
    """Average the pixels in a window; the padding does not count."""
    window, strides = (node.kernel,) * 2, (node.stride,) * 2
    pooled = nn.avg_pool(
        x.astype(jnp.float32),
        window_shape=window,
        strides=strides,
        padding="SAME",
        count_include_pad=False,
    )
    return pooled.astype(x.dtype)


def own_layer(node: Node, dtype: str, inputs: Sequence[Array]) -> Array:
    """Apply a layer of the user's own."""
    module = OWN[node.op](
        filters=node.filters,
        kernel=node.kernel,
        dtype=jnp.dtype(dtype),
        axis=None,
        name=node.name,
    )
    y: Array = module(*inputs, train=False)
    return y


Operation = Callable[[Node, str, Sequence[Array]], Array]

OPERATIONS: dict[str, Operation] = {
    "stem": lambda node, dtype, x: ConvolutionNorm(node, dtype, name=node.name)(x[0]),
    # The paper's pre-activation convolution: ReLU, convolution, batch normalisation.
    "pcc": lambda node, dtype, x: ConvolutionNorm(node, dtype, name=node.name)(
        nn.relu(x[0])
    ),
    "separable": lambda node, dtype, x: SeparableConvolution(
        node, dtype, name=node.name
    )(x[0]),
    "max_pool": lambda node, dtype, x: max_pool(node, x[0]),
    "average_pool": lambda node, dtype, x: average_pool(node, x[0]),
    "identity": lambda node, dtype, x: x[0],
    "add": lambda node, dtype, x: x[0] + x[1],
    "concat": lambda node, dtype, x: jnp.concatenate(x, axis=-1),
    "head": lambda node, dtype, x: Head(node, dtype, name=node.name)(x[0]),
}


class Network(nn.Module):
    """The network, from pixels to logits.

    Attributes:
      nodes: in topological order; they read the input as `image`.
      mean, std: constants that normalise the pixels, by channel.
      dtype: the dtype of the computation.
    """

    nodes: tuple[Node, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: str

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """Map images, uint8 `[B, H, W, C]`, to logits, float32 `[B, K]`."""
        mean, std = (
            jnp.asarray(x, jnp.float32).reshape(1, 1, 1, -1)
            for x in (self.mean, self.std)
        )
        normalised = (images.astype(jnp.float32) - mean) / std
        values = {"image": normalised.astype(self.dtype)}
        for node in self.nodes:
            inputs = [values[name] for name in node.inputs]
            operation = OPERATIONS.get(node.op, own_layer)
            values[node.name] = operation(node, self.dtype, inputs)
        return values[self.nodes[-1].name]


def load(folder: str | Path) -> tuple[Network, Mapping[str, Any]]:
    """Load the module and its trained variables, `params` and `batch_stats`."""
    variables = serialization.msgpack_restore(Path(folder, WEIGHTS).read_bytes())
    return Network(NODES, MEAN, STD, DTYPE), variables


def logits(images: Any) -> np.ndarray:
    """Run the trained network beside this file.

    Args:
      images: pixels, uint8 `[B, H, W, C]`.

    Returns:
      Logits, float32 `[B, K]`.
    """
    apply, variables = _loaded()
    return np.asarray(apply(variables, images))


@functools.cache
def _loaded() -> tuple[Callable[..., Array], Mapping[str, Any]]:
    network, variables = load(Path(__file__).parent)
    return jax.jit(network.apply), jax.device_put(variables)


def read_image(path: str | Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Read an image file; crop its centre to the aspect of `shape`, and resize it.

    Args:
      path: the file.
      shape: height, width and channels of the result (1: grey, 3: RGB).

    Returns:
      The image, uint8 `[H, W, C]`.
    """
    from PIL import Image

    with Image.open(path) as file:
        return fit(file.convert("L" if shape[2] == 1 else "RGB"), shape)


def fit(image: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """Crop the centre of an image and resize it, as `read_image` does."""
    from PIL import Image, ImageOps

    height, width, channels = shape
    resampling = Image.Resampling.BILINEAR
    fitted = ImageOps.fit(image, (width, height), resampling)
    return np.asarray(fitted, np.uint8).reshape(height, width, channels)


def main(paths: Sequence[str]) -> None:
    """Print the most likely class of every image file, and its probability."""
    if not paths:
        sys.exit(f"usage: python {Path(__file__).name} image.png ...")
    for path in paths:
        found = logits(read_image(path, IMAGE_SHAPE)[None])[0]
        probabilities = np.exp(found - found.max())
        best = int(found.argmax())
        share = probabilities[best] / probabilities.sum()
        print(f"{path}: {CLASS_NAMES[best]} ({share:.1%})")


if __name__ == "__main__":
    main(sys.argv[1:])

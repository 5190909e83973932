"""Augmentation: pure functions of images and keys, inside the compiled step.

Every image has a key of its own, so that what it becomes depends neither on the number
of devices nor on its neighbours.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from bqnn.final.config import FinalDataConfig
from bqnn.networks.plan import ImageSpec
from bqnn.numerics import seed_key


class Augmentation(NamedTuple):
    """How images are varied.

    Attributes:
      pad: pixels of margin on each side before a random crop of the old size.
      flip: whether half of the images are mirrored.
      cutout: side of the square that is blanked.
    """

    pad: int
    flip: bool
    cutout: int


# Margins as parts of the height. A mirrored digit or letter is another one, or none.
_SUITED = {
    "digits": (1 / 8, False),
    "mnist": (1 / 14, False),
    "kmnist": (1 / 14, False),
    "emnist": (1 / 14, False),
    "svhn_cropped": (1 / 8, False),
}
_ANY_IMAGES = (1 / 8, True)


def suited(data: FinalDataConfig, images: ImageSpec) -> Augmentation:
    """Choose what suits a data set, where its configuration does not say.

    The paper crops CIFAR's 32x32 images; the margin of 4 is ours, as are
    the other data sets'.
    """
    family = data.name.partition(":")[0].partition("/")[0]
    margin, flip = _SUITED.get(family, _ANY_IMAGES)
    pad = round(margin * images.height) if data.pad is None else data.pad
    if data.streaming and data.pad is None:
        pad = 0  # cropped while they are read
    return Augmentation(pad, flip if data.flip is None else data.flip, data.cutout)


def image_keys(seed: int, step: Array | np.ndarray, positions: Array) -> Array:
    """Make a key for every image of a step.

    Args:
      seed: of the training.
      step: its number, `[] int32`.
      positions: in the batch over all devices, `[B] int32`.

    Returns:
      Keys, `[B]`.
    """
    key = jax.random.wrap_key_data(seed_key(seed), impl="threefry2x32")
    key = jax.random.fold_in(key, step)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, positions)


def augment(
    keys: Array, images: Array, augmentation: Augmentation, blank: Array
) -> Array:
    """Vary a batch of images.

    Args:
      keys: one for each, `[B]`.
      images: in units of pixels, `[B, H, W, C] float32`.
      augmentation: how.
      blank: colour of margins and of what is cut out, `[C] float32`.

    Returns:
      Images, `[B, H, W, C] float32`.
    """
    chex.assert_rank([keys, images, blank], [1, 4, 1])

    def vary(key: Array, image: Array) -> Array:
        crop_key, flip_key, cut_key = jax.random.split(key, 3)
        if augmentation.pad:
            image = _shifted(crop_key, image, augmentation.pad, blank)
        if augmentation.flip:
            mirrored = image[:, ::-1]
            image = jnp.where(jax.random.bernoulli(flip_key), mirrored, image)
        if augmentation.cutout:
            image = _cut_out(cut_key, image, augmentation.cutout, blank)
        return image

    return jax.vmap(vary)(keys, images)


def mix(keys: Array, images: Array, labels: Array, alpha: float) -> tuple[Array, Array]:
    """Blend every image, and its label, with the one across in the batch (mixup).

    Zhang et al., *mixup: Beyond empirical risk minimization*, 2018.

    Args:
      keys: one for each, `[B]`.
      images: normalised, `[B, H, W, C]`.
      labels: probabilities of the classes, `[B, K]`.
      alpha: of the Beta distribution.

    Returns:
      Images  # [B, H, W, C]
      and labels, `[B, K]`.
    """
    chex.assert_rank([keys, images, labels], [1, 4, 2])
    share = jax.vmap(lambda key: jax.random.beta(key, alpha, alpha))(keys)
    wide, narrow = share.reshape(-1, 1, 1, 1), share.reshape(-1, 1)
    images = wide * images + (1 - wide) * images[::-1]
    return images, narrow * labels + (1 - narrow) * labels[::-1]


def _shifted(key: Array, image: Array, pad: int, blank: Array) -> Array:
    """Crop the old size from a margin of `pad` pixels on each side."""
    height, width, channels = image.shape
    margin = jnp.broadcast_to(blank, (height + 2 * pad, width + 2 * pad, channels))
    padded = lax.dynamic_update_slice(margin, image, (pad, pad, 0))
    top, left = jax.random.randint(key, (2,), 0, 2 * pad + 1)
    return lax.dynamic_slice(padded, (top, left, 0), image.shape)


def _cut_out(key: Array, image: Array, side: int, blank: Array) -> Array:
    """Blank a square whose centre is anywhere in the image."""
    height, width, _ = image.shape
    y, x = jax.random.randint(key, (2,), 0, jnp.array([height, width]))
    rows = jnp.arange(height)[:, None] - y + side // 2
    columns = jnp.arange(width)[None, :] - x + side // 2
    inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    return jnp.where(inside[..., None], blank, image)

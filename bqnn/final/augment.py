"""Augmentation: pure functions of images and keys, part of the compiled step.

Every image has its own key. So its augmentation does not depend on the number of
devices or on the other images of the batch. Axes: B batch, H W C image, K classes.
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
    """How training images are augmented.

    Attributes:
      pad: margin on each side, in pixels, before a random crop of the original size.
      flip: whether half of the images are mirrored.
      cutout: side of the square that is cut out, in pixels; 0 for none.
    """

    pad: int
    flip: bool
    cutout: int


# Margin as a fraction of the height, and whether to flip. A mirrored digit or letter is
# a different one, or none.
_DEFAULTS = {
    "digits": (1 / 8, False),
    "mnist": (1 / 14, False),
    "kmnist": (1 / 14, False),
    "emnist": (1 / 14, False),
    "svhn_cropped": (1 / 8, False),
}
_OTHER_IMAGES = (1 / 8, True)


def choose_augmentation(data: FinalDataConfig, images: ImageSpec) -> Augmentation:
    """Return the augmentation configured; what is not, follows the data set.

    The paper crops CIFAR's 32x32 images. The margin of 4 pixels, and those of the other
    data sets, are ours.
    """
    family = data.name.partition(":")[0].partition("/")[0]
    margin, flip = _DEFAULTS.get(family, _OTHER_IMAGES)
    pad = round(margin * images.height) if data.pad is None else data.pad
    if data.streaming and data.pad is None:
        pad = 0  # streamed images are cropped when they are read
    return Augmentation(pad, flip if data.flip is None else data.flip, data.cutout)


def image_keys(seed: int, step: Array | np.ndarray, positions: Array) -> Array:
    """Make a key for every image of a step.

    Args:
      seed: seed of the training.
      step: index of the step, int32 `[]`.
      positions: position of each image in the batch over all devices, int32 `[B]`.

    Returns:
      Keys, `[B]`.
    """
    key = jax.random.wrap_key_data(seed_key(seed), impl="threefry2x32")
    key = jax.random.fold_in(key, step)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, positions)


def augment(
    keys: Array, images: Array, augmentation: Augmentation, fill: Array
) -> Array:
    """Crop, mirror and cut out at random.

    Args:
      keys: one key for each image, `[B]`; consumed.
      images: in units of pixels, float32 `[B, H, W, C]`.
      augmentation: which of the three, and how much.
      fill: colour of margins and of squares cut out, float32 `[C]`.

    Returns:
      Images, float32 `[B, H, W, C]`.
    """
    chex.assert_rank([keys, images, fill], [1, 4, 1])

    def augment_one(key: Array, image: Array) -> Array:
        crop_key, flip_key, cutout_key = jax.random.split(key, 3)
        if augmentation.pad:
            image = _random_crop(crop_key, image, augmentation.pad, fill)
        if augmentation.flip:
            mirrored = image[:, ::-1]
            image = jnp.where(jax.random.bernoulli(flip_key), mirrored, image)
        if augmentation.cutout:
            image = _cutout(cutout_key, image, augmentation.cutout, fill)
        return image

    return jax.vmap(augment_one)(keys, images)


def mixup(
    keys: Array, images: Array, labels: Array, alpha: float
) -> tuple[Array, Array]:
    """Blend image i of a batch, and its label, with image B - 1 - i.

    Zhang et al., *mixup: Beyond empirical risk minimization*, 2018.

    Args:
      keys: one key for each image, `[B]`; consumed.
      images: normalised images, float32 `[B, H, W, C]`.
      labels: probabilities of the classes, float32 `[B, K]`.
      alpha: both parameters of the Beta distribution of an image's own weight.

    Returns:
      Images, float32 `[B, H, W, C]`, and labels, float32 `[B, K]`.
    """
    chex.assert_rank([keys, images, labels], [1, 4, 2])
    weight = jax.vmap(lambda key: jax.random.beta(key, alpha, alpha))(keys)
    by_image, by_label = weight.reshape(-1, 1, 1, 1), weight.reshape(-1, 1)
    images = by_image * images + (1 - by_image) * images[::-1]
    return images, by_label * labels + (1 - by_label) * labels[::-1]


def _random_crop(key: Array, image: Array, pad: int, fill: Array) -> Array:
    """Add a margin of `pad` pixels, then crop the original size anywhere in it."""
    height, width, channels = image.shape
    margin = jnp.broadcast_to(fill, (height + 2 * pad, width + 2 * pad, channels))
    padded = lax.dynamic_update_slice(margin, image, (pad, pad, 0))
    top, left = jax.random.randint(key, (2,), 0, 2 * pad + 1)
    return lax.dynamic_slice(padded, (top, left, 0), image.shape)


def _cutout(key: Array, image: Array, side: int, fill: Array) -> Array:
    """Fill a square, the centre of which is anywhere in the image."""
    height, width, _ = image.shape
    y, x = jax.random.randint(key, (2,), 0, jnp.array([height, width]))
    rows = jnp.arange(height)[:, None] - y + side // 2
    columns = jnp.arange(width)[None, :] - x + side // 2
    inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    return jnp.where(inside[..., None], fill, image)

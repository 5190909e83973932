"""Small networks to test with."""

import numpy as np

from bqnn.config import NetworkConfig
from bqnn.data import Dataset, Images
from bqnn.networks.plan import ImageSpec

SPEC = ImageSpec(8, 8, 1, 10)


def small(width: str = "uniform", **fields: object) -> NetworkConfig:
    """A network of three narrow stages."""
    values = {"stem": "small", "widths": (4, 6, 8), "repeats": 1, **fields}
    return NetworkConfig(width=width, **values)  # type: ignore[arg-type]


def random_dataset(
    train: int = 64, validation: int = 20, spec: ImageSpec = SPEC, seed: int = 0
) -> Dataset:
    """Images of noise, whose brightness tells the class."""
    rng = np.random.default_rng(seed)

    def images(count: int) -> Images:
        labels = (np.arange(count) % spec.num_classes).astype(np.int32)
        shape = (count, spec.height, spec.width, spec.channels)
        noise = rng.integers(0, 40, shape)
        level = (labels * (200 // spec.num_classes)).reshape(-1, 1, 1, 1)
        return Images((noise + level).astype(np.uint8), labels)

    names = tuple(map(str, range(spec.num_classes)))
    mean = np.full(spec.channels, 120, np.float32)
    std = np.full(spec.channels, 60, np.float32)
    return Dataset(images(train), images(validation), names, mean, std)

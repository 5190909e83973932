"""File schemas: what the files of a full training may hold."""

from typing import Any

import numpy as np

from bqnn import machine, schema
from bqnn.final.model import Model
from bqnn.networks.cost import network_cost
from bqnn.networks.plan import ImageSpec
from bqnn.schema import (
    NAME,
    TEXT,
    Convert,
    FactError,
    fields,
    integer,
    listed,
    number,
    text,
    wrong,
)
from bqnn.search.facts import IMAGES
from bqnn.space import nsc

_CHANNELS = schema.LARGEST_SIDE

CLASS_NAMES = listed(NAME, "names of classes", 1, schema.MOST_CLASSES)
DTYPE = text("float32|bfloat16", "float32 or bfloat16")


def block(value: Any) -> nsc.Block:
    """Want the NSC of a block as text."""
    return nsc.parse(TEXT(value))


def by_channel(low: float, high: float) -> Convert:
    """Want a number for each channel."""
    numbers = listed(number(low, high), "a number by channel", 1, _CHANNELS)
    return lambda value: np.array(numbers(value), np.float32)


# In units of pixels.
MEAN, STD = by_channel(0, 255), by_channel(1e-3, 255)


def image_spec(value: Any) -> ImageSpec:
    """Want height, width, channels and number of classes, as a list."""
    if not isinstance(value, list) or len(value) != len(IMAGES):
        raise FactError(f"has no {', '.join(IMAGES)} as a list")
    items = zip(IMAGES.values(), value, strict=True)
    return ImageSpec(*(convert(entry) for convert, entry in items))


def check_model(model: Model) -> None:
    """Check that the parts of a model agree, and that this machine can compute it.

    Raises:
      FactError: if they do not, or it cannot.
    """
    images = model.images
    if images.num_classes != len(model.class_names):
        raise FactError(
            f"class_names are {len(model.class_names)}: want {images.num_classes}"
        )
    if not len(model.mean) == len(model.std) == images.channels:
        raise FactError(
            f"mean and std have {len(model.mean)} and {len(model.std)} numbers: want "
            f"one for each of {images.channels} channels"
        )
    cost = network_cost(model.plan)
    # float32, for one image, if every activation is kept.
    nbytes, most = 4 * (cost.params + cost.activations), machine.memory()
    for value, limit, unit in (
        (cost.flops, schema.MOST_FLOPS, "multiply-adds for an image"),
        (nbytes, most, "bytes of this machine's memory"),
    ):
        if value > limit:
            raise FactError(
                f"the network needs {value:.0e} {unit}: want {limit:.0e} at most"
                if value < 10**300
                else f"the network needs countless {unit}"
            )


_COUNT = integer(0, 10**12)
_FRACTION = number(0, 1)
_SECONDS = number(0, 1e12)


def _loss(value: Any) -> float:
    """Want a number, also infinity or NaN: a loss may be either."""
    if isinstance(value, float) or (type(value) is int and abs(value) < 10**12):
        return float(value)
    return wrong(value, "a number")


def _test_result(value: Any) -> dict[str, float] | None:
    return None if value is None else _TEST(value)


_TEST = fields({"loss": _loss, "accuracy": _FRACTION})
ROW = fields(
    {
        "epoch": _COUNT,
        "step": _COUNT,
        "learning_rate": number(0, 1e12),
        "loss": _loss,
        "accuracy": _FRACTION,
        "seconds": _SECONDS,
        "images_per_second": number(0, 1e15),
        "validation_loss": _loss,
        "validation_accuracy": _FRACTION,
    },
    optional=frozenset({"validation_loss", "validation_accuracy"}),
)
"""A row of metrics of an epoch, as `bqnn.final.loop.EpochEnded` has."""


def history(value: Any) -> list[dict[str, Any]]:
    """Want a list of rows, one for each epoch."""
    return list(listed(ROW, "a list of epochs")(value))


RESULT = fields(
    {"epochs": _COUNT, "seconds": _SECONDS, "history": history, "test": _test_result}
)
"""The result of a training, as `bqnn.final.train.train_block` returns it."""

"""What files say of the course of a full training: rows of epochs, and the result."""

from typing import Any

from bqnn.schema import fields, integer, listed, number, wrong

_COUNT = integer(0, 10**12)
_FRACTION = number(0, 1)
_SECONDS = number(0, 1e12)


def _measured(value: Any) -> float:
    """Want a number; a loss may be infinite, or none."""
    if isinstance(value, float) or (type(value) is int and abs(value) < 10**12):
        return float(value)
    return wrong(value, "a number")


def _tested(value: Any) -> dict[str, float] | None:
    return None if value is None else _TEST(value)


_TEST = fields({"loss": _measured, "accuracy": _FRACTION})
ROW = fields(
    {
        "epoch": _COUNT,
        "step": _COUNT,
        "learning_rate": number(0, 1e12),
        "loss": _measured,
        "accuracy": _FRACTION,
        "seconds": _SECONDS,
        "images_per_second": number(0, 1e15),
        "validation_loss": _measured,
        "validation_accuracy": _FRACTION,
    },
    optional=frozenset({"validation_loss", "validation_accuracy"}),
)
"""An epoch, as `final.loop.EpochEnded` has it."""


def history(value: Any) -> list[dict[str, Any]]:
    """Want a list of epochs."""
    return list(listed(ROW, "a list of epochs")(value))


RESULT = fields(
    {"epochs": _COUNT, "seconds": _SECONDS, "history": history, "test": _tested}
)
"""What came of a training, as `final.train.train` returns it."""

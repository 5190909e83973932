"""Checked fields: every value of a configuration with its bounds beside it.

Every number has two ends. A configuration may come from a journal that somebody else
wrote, and the upper ends keep what is computed from it within the memory and the time
of one machine. They lie far above what a search needs.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from bqnn.errors import ConfigError, quote

LARGE = 1e6
"""The end of weights and rates that have no natural one."""

LARGEST_FLOAT = 3.4e38
"""The end of what training computes with, in float32."""

LONGEST_TEXT = 4096
"""Characters of a name or path, as Linux has it."""


def check(name: str, value: object, ok: bool, want: str) -> None:
    """Raise a `ConfigError` that quotes the value unless it is `ok`."""
    if not ok:
        raise ConfigError(f"{name} is {quote(value)}: want {want}")


def checked(default: Any, ok: Callable[[Any], bool], want: str) -> Any:
    """Make a field with a check of its own.

    Args:
      default: of the field. If it is None, None needs no check.
      ok: tells whether a value, of the field's type, is allowed.
      want: what is allowed, for the message.
    """
    return dataclasses.field(default=default, metadata={"ok": ok, "want": want})


def within(default: float | None, low: float, high: float) -> Any:
    """Make a field for a number between two ends, included. NaN is in no range."""
    want = f"a number from {low:,} to {high:,}"
    return checked(default, lambda value: low <= value <= high, want)


def positive(default: float) -> Any:
    """Make a field for a number above 0 that float32 can hold."""
    want = f"a positive number up to {LARGEST_FLOAT}"
    return checked(default, lambda value: 0 < value <= LARGEST_FLOAT, want)


def fraction(default: float) -> Any:
    """Make a field for a number from 0 to 1, without 1."""
    return checked(default, lambda value: 0 <= value < 1, "a fraction in [0, 1)")


def one_of(default: str, *others: str) -> Any:
    """Make a field for one of some names."""
    names = (default, *others)
    return checked(default, lambda value: value in names, " or ".join(names))


def text(default: str | None) -> Any:
    """Make a field for a name or a path."""
    want = f"at most {LONGEST_TEXT:,} characters"
    return checked(default, lambda value: len(value) <= LONGEST_TEXT, want)


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of a configuration: a frozen dataclass whose fields are checked."""

    # Not annotated, and so no field: its name in messages.
    section = ""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
          ConfigError: quotes the first value that is out of its bounds.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not field.metadata or (value is None and field.default is None):
                continue
            ok, want = field.metadata["ok"](value), field.metadata["want"]
            check(f"{self.section}.{field.name}", value, ok, want)

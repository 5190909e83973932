"""Schemas of values from files of others: types, ranges, shapes, and the largest sizes.

A schema is a function. It converts a value, or raises a `FactError` that says what was
wanted. The sizes are far above what is useful, and small enough for one machine to
finish reading.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from bqnn.errors import BqnnError, UnknownLayerError, quote

MOST_CLASSES = 30_000
"""Classes of a data set or a network; ImageNet-21k has 21,841."""

MOST_IMAGES = 100_000_000
"""Images of a streamed split; ImageNet-21k has 14 million."""

MOST_PIXELS = 80_000_000
"""Height times width of an image in a file; above 89 million, Pillow itself warns."""

LARGEST_SIDE = 65_536
"""Height, width or channels of a network's input images."""

MOST_FLOPS = 10**13
"""FLOPs of a trained network for one image; large vision models need a hundredth."""

LARGEST_TEXT_FILE = 2**27
"""Bytes of a file of JSON or csv."""

Convert = Callable[[Any], Any]
"""Converts a value; raises a `FactError` if it is malformed."""


class FactError(BqnnError):
    """A value that does not fit its schema."""


def integer(low: int, high: int) -> Convert:
    """Want an integer between two ends, included."""

    def convert(value: Any) -> int:
        if type(value) is int and low <= value <= high:
            return value
        return wrong(value, f"an integer from {low} to {high}")

    return convert


def number(low: float, high: float) -> Convert:
    """Want a number between two ends, included."""

    def convert(value: Any) -> float:
        if type(value) in (int, float) and low <= value <= high:
            return float(value)
        return wrong(value, f"a number from {low:g} to {high:g}")

    return convert


def boolean(value: Any) -> bool:
    """Want true or false."""
    return value if isinstance(value, bool) else wrong(value, "true or false")


def text(pattern: str, want: str) -> Convert:
    """Want a text that a regular expression matches as a whole."""
    compiled = re.compile(pattern, re.ASCII | re.DOTALL)

    def convert(value: Any) -> str:
        if isinstance(value, str) and compiled.fullmatch(value):
            return value
        return wrong(value, want)

    return convert


def digits(most: int) -> Convert:
    """Want a positive integer as text, of at most so many digits."""
    as_text = text(f"[1-9][0-9]{{0,{most - 1}}}", "a positive integer as text")
    return lambda value: int(as_text(value))


def listed(item: Convert, want: str, least: int = 0, most: int = 1_000_000) -> Convert:
    """Want a list of items, between so many and so many."""

    def convert(value: Any) -> tuple[Any, ...]:
        if isinstance(value, list) and least <= len(value) <= most:
            return tuple(item(entry) for entry in value)
        return wrong(value, want)

    return convert


def mapped(key: Convert, item: Convert, want: str) -> Convert:
    """Want a mapping of at most 100 keys to items."""

    def convert(value: Any) -> dict[str, Any]:
        if isinstance(value, dict) and len(value) <= 100:
            return {key(name): item(entry) for name, entry in value.items()}
        return wrong(value, want)

    return convert


def parsed(item: Convert) -> Convert:
    """Want JSON, in a text, of an item."""

    def convert(value: Any) -> Any:
        try:
            found = json.loads(TEXT(value))
        except (ValueError, RecursionError):
            return wrong(value, "JSON")
        return item(found)

    return convert


def fields(
    schema: Mapping[str, Convert], optional: frozenset[str] = frozenset()
) -> Convert:
    """Want a mapping with fields of these names; others are left out.

    Args:
      schema: what each field must be.
      optional: those that may be missing.
    """

    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            return wrong(value, "fields by name")
        missing = [n for n in schema if n not in value and n not in optional]
        if missing:
            raise FactError(f"has no {missing[0]}")
        names = [name for name in schema if name in value]
        return {name: read_at(name, schema[name], value[name]) for name in names}

    return convert


def read_at(where: str, convert: Convert, value: Any) -> Any:
    """Read a value; if it is wrong, say where it was.

    Raises:
      FactError: begins with `where`.
      UnknownLayerError: if `convert` raises it; begins with `where` too.
    """
    try:
        return convert(value)
    except BqnnError as error:
        text = str(error)
        joint = " " if text.startswith(("is ", "has ")) else ": "
        kind = UnknownLayerError if isinstance(error, UnknownLayerError) else FactError
        raise kind(f"{where}{joint}{text}") from error


def wrong(value: Any, want: str) -> NoReturn:
    """Raise a `FactError` that quotes the value."""
    raise FactError(f"is {quote(value)}: want {want}")


# What UTF-8 can hold: no lone surrogates.
TEXT = text(r"[^\ud800-\udfff]*", "text")
NAME = text(r"[^\ud800-\udfff]{0,1000}", "text of at most 1000 characters")
# 30,000 years, for a clock that is wrong.
TIME = number(0, 1e12)

"""What may stand in a journal: every column, with what its values must be.

A journal may come from somebody else, and SQLite keeps any value in any column. So
nothing of it is believed before it went through `read`.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from bqnn import config_dict, nsc
from bqnn.config import Config
from bqnn.errors import BqnnError, quote
from bqnn.plan import ImageSpec
from bqnn.records import Status

Convert = Callable[[Any], Any]
"""Turns a value into what it stands for; raises a `FactError` if it makes no sense."""


class FactError(BqnnError):
    """A value that cannot be a fact."""


def integer(low: int, high: int) -> Convert:
    """Want an integer between two ends, included."""

    def convert(value: Any) -> int:
        if type(value) is int and low <= value <= high:
            return value
        return _wrong(value, f"an integer from {low} to {high}")

    return convert


def number(low: float, high: float) -> Convert:
    """Want a number between two ends, included."""

    def convert(value: Any) -> float:
        if type(value) in (int, float) and low <= value <= high:
            return float(value)
        return _wrong(value, f"a number from {low:g} to {high:g}")

    return convert


def boolean(value: Any) -> bool:
    """Want true or false."""
    return value if isinstance(value, bool) else _wrong(value, "true or false")


def text(pattern: str, want: str) -> Convert:
    """Want a text that a regular expression matches as a whole."""
    compiled = re.compile(pattern, re.ASCII | re.DOTALL)

    def convert(value: Any) -> str:
        if isinstance(value, str) and compiled.fullmatch(value):
            return value
        return _wrong(value, want)

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
        return _wrong(value, want)

    return convert


def mapped(key: Convert, item: Convert, want: str) -> Convert:
    """Want a mapping of at most 100 keys to items."""

    def convert(value: Any) -> dict[str, Any]:
        if isinstance(value, dict) and len(value) <= 100:
            return {key(name): item(entry) for name, entry in value.items()}
        return _wrong(value, want)

    return convert


def parsed(item: Convert) -> Convert:
    """Want JSON, in a text, of an item."""

    def convert(value: Any) -> Any:
        try:
            found = json.loads(TEXT(value))
        except (ValueError, RecursionError):
            return _wrong(value, "JSON")
        return item(found)

    return convert


def _block(value: Any) -> nsc.Block:
    return nsc.parse(TEXT(value))


def _images(value: Any) -> ImageSpec:
    if not isinstance(value, dict) or set(value) != set(ImageSpec._fields):
        return _wrong(value, f"{', '.join(ImageSpec._fields)} by name")
    found = {}
    for name, entry in value.items():
        try:
            found[name] = IMAGES[name](entry)
        except FactError as error:
            raise BqnnError(f"{name} {error}") from error
    return ImageSpec(**found)


def _wrong(value: Any, want: str) -> NoReturn:
    raise FactError(f"is {quote(value)}: want {want}")


# SQLite's own text is UTF-8, so a lone surrogate is none of a journal's writer.
TEXT = text(r"[^\ud800-\udfff]*", "text")
NAME = text(r"[^\ud800-\udfff]{0,1000}", "text of at most 1000 characters")
HASH = text("[0-9a-f]{1,64}", "hexadecimal digits")
STATUS = text("|".join(Status), f"one of {', '.join(Status)}")
PHASE = text("[a-z_]{1,40}", "the name of a phase")

# 30,000 years, for a clock that is wrong.
TIME = number(0, 1e12)
INDEX = integer(0, 1_000_000)
PLACE = listed(INDEX, "an iteration and a slot", 2, 2)

IMAGES = {
    "height": integer(1, 65_536),
    "width": integer(1, 65_536),
    "channels": integer(1, 65_536),
    "num_classes": integer(1, 10_000_000),
}

COLUMNS: dict[str, dict[str, Convert]] = {
    "run": {
        "config": parsed(lambda value: config_dict.from_dict(value, Config)),
        "images": parsed(_images),
        "fingerprint": NAME,
        "versions": parsed(mapped(NAME, NAME, "versions by name")),
    },
    "asks": {
        "iteration": INDEX,
        "told": INDEX,
        "epsilon": number(0, 1),
    },
    "candidates": {
        "iteration": INDEX,
        "slot": INDEX,
        "block": _block,
        "hash": HASH,
        "seed": integer(0, 2**31 - 1),
        # Of one block, whose logarithm the reward takes.
        "flops": digits(100),
        # A block has up to 60 layers of two predecessors, and input and output.
        "edges": integer(1, 200),
        "nodes": integer(3, 62),
        # With native widths, a network can exceed what fits in a float.
        "params": digits(4000),
        "network_flops": digits(4000),
    },
    "evaluations": {
        "iteration": INDEX,
        "slot": INDEX,
        "attempt": integer(1, 1000),
        "status": lambda value: Status(STATUS(value)),
        "accuracy": parsed(listed(number(0, 1), "a list of fractions")),
        "restarts": INDEX,
        "seconds": parsed(mapped(PHASE, number(0, 1e9), "seconds by phase")),
        "device": NAME,
        "worker": NAME,
        "error": TEXT,
        "time": TIME,
    },
    "tells": {
        "number": INDEX,
        "places": parsed(listed(PLACE, "a list of places", 1)),
        "digest": HASH,
        "evidence": HASH,
    },
}
"""What is read of each table, in this order."""

KEYS: dict[str, tuple[str, ...]] = {
    "run": (),
    "asks": ("iteration",),
    "candidates": ("iteration", "slot"),
    "evaluations": ("iteration", "slot", "attempt"),
    "tells": ("number",),
}
"""The columns that name a row, the first of each table."""


def read(table: str, names: Sequence[str], row: Sequence[Any]) -> list[Any]:
    """Turn a row into what it stands for.

    Args:
      table: of the row.
      names: of the columns read.
      row: their values, as SQLite has them.

    Raises:
      FactError: names table, row and column.
    """
    columns, values = COLUMNS[table], []
    try:
        for name, value in zip(names, row, strict=True):
            values.append(columns[name](value))
    except BqnnError as error:
        where = f"{row_name(table, row)}, column {names[len(values)]}"
        joint = " " if isinstance(error, FactError) else ": "
        raise FactError(f"{where}{joint}{error}") from error
    return values


def row_name(table: str, row: Sequence[Any]) -> str:
    """Name a row of a table by its key, the first of its columns."""
    key = zip(KEYS[table], row, strict=False)
    parts = ", ".join(f"{name} {quote(value)}" for name, value in key)
    return f"table {table}, row {parts}" if parts else f"table {table}"

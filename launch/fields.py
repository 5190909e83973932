"""Fields of a configuration with their meaning, from the docstrings of its classes."""

import dataclasses
import inspect
import re
import shlex
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

# One entry of an "Attributes" section; its further lines are indented more.
_ENTRY = re.compile(r"^  (\w+(?:, \w+)*): (.*(?:\n    .*)*)", re.MULTILINE)


class Field(NamedTuple):
    """A field of a configuration.

    Attributes:
      name: with its sections, as in `agent.alpha`.
      value: its value.
      default: its value if it is not given.
      meaning: its entry in the docstring of its class, or nothing.
    """

    name: str
    value: Any
    default: Any
    meaning: str


def fields(config: Any, default: Any, prefix: str = "") -> Iterator[Field]:
    """List the fields of a configuration and of its sections.

    Args:
      config: a dataclass of dataclasses.
      default: another of its class.
      prefix: names of the sections around it, each followed by a dot.
    """
    for entry in dataclasses.fields(config):
        name = f"{prefix}{entry.name}"
        value, usual = getattr(config, entry.name), getattr(default, entry.name)
        if dataclasses.is_dataclass(value):
            yield from fields(value, usual, f"{name}.")
        else:
            yield Field(name, value, usual, _meaning(type(config), entry.name))


def described(config: Any, default: Any, width: int = 80) -> Iterator[str]:
    """Write every field as a flag, and below it its meaning and its default."""
    for field in fields(config, default):
        yield _flag(field.name, field.value)
        meaning = field.meaning
        if field.value != field.default:
            meaning += f" (The default: {_text(field.default)}.)"
        indent = " " * 4
        yield textwrap.fill(
            meaning, width, initial_indent=indent, subsequent_indent=indent
        )


def _flag(name: str, value: Any) -> str:
    given = "" if value is None else f"={shlex.quote(str(value))}"
    return f"--config.{name}{given}"


def _text(value: Any) -> str:
    return "not given" if value is None else str(value)


def _meaning(cls: type, name: str) -> str:
    """Look a field up in the last class that declares it."""
    return next(
        (found[name] for found in map(_entries, cls.__mro__) if name in found), ""
    )


def _entries(cls: type) -> dict[str, str]:
    """Read the "Attributes" section of a class's docstring."""
    _, _, section = inspect.cleandoc(cls.__doc__ or "").partition("\nAttributes:\n")
    return {
        name: " ".join(meaning.split())
        for names, meaning in _ENTRY.findall(section)
        for name in names.split(", ")
    }

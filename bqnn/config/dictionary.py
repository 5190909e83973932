"""Configurations as plain nested dictionaries: for files, flags and the journal."""

import dataclasses
import math
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar

from bqnn.errors import ConfigError, quote, shortened

C = TypeVar("C")

# Fields of older versions by full name, and the only value with which they still read:
# the one that meant "off".
_RETIRED = {"agent.optimism": 0.0, "agent.q_plus.optimism": 0.0}


def to_dict(config: Any) -> dict[str, dict[str, Any]]:
    """Turn a configuration into plain nested dictionaries, as the journal keeps it."""
    return dataclasses.asdict(config)


def from_dict(values: Mapping[str, Mapping[str, Any]], cls: type[C]) -> C:
    """Build a configuration from nested dictionaries; what is missing has its default.

    Args:
      values: fields by section.
      cls: the frozen dataclass of frozen dataclasses to build.

    Raises:
      ConfigError: for an unknown section or field, or a value of the wrong type.
    """
    sections = typing.get_type_hints(cls)
    _reject_unknown("", values, sections)
    return cls(**{name: section(name, values[name], sections[name]) for name in values})


def differences(old: Any, new: Any) -> Iterator[str]:
    """Yield `section.field: old -> new` for every field that differs."""
    yield from _differences("", to_dict(old), to_dict(new))


def section(name: str, values: Mapping[str, Any], cls: type[C]) -> C:
    """Build one section of a configuration, as `from_dict` does."""
    hints = typing.get_type_hints(cls)
    if isinstance(values, Mapping):
        values = {k: v for k, v in values.items() if not _is_retired(f"{name}.{k}", v)}
    _reject_unknown(name, values, hints)
    converted = {
        entry: _convert(f"{name}.{entry}", hints[entry], value)
        for entry, value in values.items()
    }
    return cls(**converted)


def _differences(
    prefix: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[str]:
    for name, value in before.items():
        other = after[name]
        if isinstance(value, dict):
            yield from _differences(f"{prefix}{name}.", value, other)
        elif value != other:
            yield f"{prefix}{name}: {quote(value)} -> {quote(other)}"


def _is_retired(name: str, value: Any) -> bool:
    """Tell whether a field is retired, and raise where it is and was in use."""
    if name not in _RETIRED:
        return False
    off = _RETIRED[name]
    if _convert(name, type(off), value) != off:
        raise ConfigError(f"{name} is {quote(value)}: the field is retired, want {off}")
    return True


def _reject_unknown(section: str, given: object, known: Collection[str]) -> None:
    """Raise unless `given` maps known names only; `section` is empty at the top."""
    if not isinstance(given, Mapping):
        what = section or "the configuration"
        raise ConfigError(f"{what} is {quote(given)}: want fields by name")
    for name in given:
        if name not in known:
            shown = f"{section}.{name}" if section else str(name)
            raise ConfigError(
                f"unknown configuration field {shortened(shown)}: "
                f"want one of {', '.join(known)}"
            )


def _convert(name: str, hint: Any, value: Any) -> Any:
    """Check `value` against the annotation of its field; lists become tuples."""
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return section(name, value, typing.cast(type, hint))
    if isinstance(hint, types.UnionType):
        return (
            None if value is None else _convert(name, typing.get_args(hint)[0], value)
        )
    if typing.get_origin(hint) is tuple and isinstance(value, list | tuple):
        item = typing.get_args(hint)[0]
        return tuple(_convert(name, item, entry) for entry in value)
    if hint is float and type(value) is int and abs(value) < 2**63:
        value = float(value)
    if type(value) is not hint:
        want = getattr(hint, "__name__", str(hint))
        raise ConfigError(f"{name} is {quote(value)}: want {want}")
    if hint is float and not math.isfinite(value):
        raise ConfigError(f"{name} is {value}: want a finite number")
    return value

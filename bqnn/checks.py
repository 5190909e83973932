"""Checks of configuration values, with messages that quote the value."""

from collections.abc import Collection

from bqnn.errors import ConfigError, quote


def check(name: str, value: object, ok: bool, want: str) -> None:
    """Raise a `ConfigError` that quotes the value unless it is `ok`."""
    if not ok:
        raise ConfigError(f"{name} is {quote(value)}: want {want}")


def one_of(name: str, value: str, choices: Collection[str]) -> None:
    """Raise a `ConfigError` unless the value is one of the choices."""
    check(name, value, value in choices, " or ".join(choices))

"""Checks of configuration values, with messages that quote the value.

Every number has two ends. A configuration may come from a journal that somebody else
wrote, and the upper ends keep what is computed from it within the memory and the time
of one machine. They lie far above what a search needs.
"""

from collections.abc import Collection, Mapping

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


def one_of(name: str, value: str, choices: Collection[str]) -> None:
    """Raise a `ConfigError` unless the value is one of the choices."""
    check(name, value, value in choices, " or ".join(choices))


def within(
    section: str, config: object, ranges: Mapping[str, tuple[float, float]]
) -> None:
    """Raise a `ConfigError` unless fields are in their ranges; NaN is in none.

    Args:
      section: of the configuration.
      config: has the fields.
      ranges: the ends of each field, both included.
    """
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        want = f"a number from {low:,} to {high:,}"
        check(f"{section}.{name}", value, low <= value <= high, want)


def positive(section: str, config: object, names: Collection[str]) -> None:
    """Raise a `ConfigError` unless fields are above 0, and numbers of float32."""
    for name in names:
        value = getattr(config, name)
        want = f"a positive number up to {LARGEST_FLOAT}"
        check(f"{section}.{name}", value, 0 < value <= LARGEST_FLOAT, want)

"""Errors that a user can mend. Launchers print their message and no traceback."""


class BqnnError(Exception):
    """An error whose message is one line: what was given, what is wrong, the cure."""

    def __init__(self, message: str) -> None:
        """Put `message` on one line, its control characters shown as escapes."""
        super().__init__(one_line(message))


class NscError(BqnnError, ValueError):
    """A text or a list of layers that is not a block."""


class ConfigError(BqnnError, ValueError):
    """A configuration value out of its range, or an unknown field."""


class UnknownLayerError(NscError, ConfigError):
    """A layer type that is not registered here: no file that has it is damaged."""


class DataError(BqnnError):
    """A data set that is missing, malformed or unsuited to the configuration."""


class JournalError(BqnnError):
    """A journal that cannot be opened, written, or does not match the search."""


class SearchError(BqnnError):
    """A search that cannot go on."""


def printable(text: str) -> str:
    r"""Show what would act on a terminal as escapes such as `\x1b`.

    All text that is not ours goes through it before it is printed: from journals and
    other files, names of files and classes, messages of other libraries. Shown are
    control characters, line breaks and tabs too, and whatever has no glyph: changes of
    direction, lone surrogates, spaces of a width of their own.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """Put a text that may have several lines on one, and make it `printable`."""
    return printable(" ".join(text.split()))


def quote(value: object, limit: int = 60) -> str:
    """Quote `value` on one line, shortened to about `limit` characters."""
    try:
        text = printable(repr(value))
    except (RecursionError, ValueError):  # nested too deep, or too many digits
        text = f"{type(value).__name__}(...)"
    return shortened(text, limit)


def shortened(text: str, limit: int = 60) -> str:
    """Cut a text that is too long to show, and say so by dots."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."

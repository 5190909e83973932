"""Errors that a user can mend. Launchers print their message and no traceback."""


class BqnnError(Exception):
    """An error whose message is one line: what was given, what is wrong, the cure."""

    def __init__(self, message: str) -> None:
        """Put `message` on one line."""
        super().__init__(" ".join(message.split()))


class NscError(BqnnError, ValueError):
    """A text or a list of layers that is not a block."""


class ConfigError(BqnnError, ValueError):
    """A configuration value out of its range, or an unknown field."""


class DataError(BqnnError):
    """A data set that is missing, malformed or unsuited to the configuration."""


class JournalError(BqnnError):
    """A journal that cannot be opened, written, or does not match the search."""


class SearchError(BqnnError):
    """A search that cannot go on."""


def quote(value: object, limit: int = 60) -> str:
    """Quote `value` on one line, shortened to about `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."

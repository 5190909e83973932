"""Text that is not ours, shown as it is: in the terminal and in pictures."""

from typing import Any

from rich.console import Console
from rich.text import Text

from bqnn.errors import printable


class PlainConsole(Console):
    """A console that shows texts as they are, whatever stands in them.

    It knows no markup and no emoji codes, and shows control characters as escapes.
    """

    def __init__(self, **options: Any) -> None:
        """Make it as rich does."""
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Turn a text, a cell or a title, into what is printed."""
        lines = "\n".join(map(printable, text.split("\n")))
        return super().render_str(lines, **options)


def foreign(text: str, style: str = "") -> Text:
    """Make a text that every console shows as it is, in one style."""
    return Text(printable(text), style)


def literal(text: str) -> str:
    """Write a text so that matplotlib shows it as it is, and reads no formula in it."""
    return printable(text).replace("$", r"\$")

"""Foreign text, shown as it is: names of files and workers, messages of errors.

It is escaped where it is printed, not where it is read: names must stay what they are.
The programs' console escapes every text, so no caller has to think of it.
"""

from typing import Any

from rich.console import Console
from rich.text import Text

from bqnn.errors import printable


class PlainConsole(Console):
    """A console that shows texts as they are.

    It knows no markup and no emoji codes, and shows control characters as escapes.
    """

    def __init__(self, **options: Any) -> None:
        """Make it as rich does."""
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Escape a text, a cell or a title."""
        lines = "\n".join(map(printable, text.split("\n")))
        return super().render_str(lines, **options)


def foreign(text: str, style: str = "") -> Text:
    """Escape a text for every console, in one style."""
    return Text(printable(text), style)


def literal(text: str) -> str:
    """Escape a text for matplotlib, which would read formulas in it."""
    return printable(text).replace("$", r"\$")

"""One change of what others wrote: programs work, or say in a line what is wrong."""

import io
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from bqnn.errors import BqnnError
from bqnn.report.foreign import PlainConsole
from tests.test_errors import HARMFUL

Draw = Callable[[st.SearchStrategy[Any]], Any]

CONTROL = "\x1b]0;mine\x07\x9b2J\u202e[red]:smile:"

_FRAGMENTS = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1", "0", "1", "2", "0.5", "1e308"),
    *("9" * 12, "9" * 4000, "9" * 5000, "true", "null", '""', '"x"', '"1.0:999999"'),
    *('"1.0:1,0.5:2"', '"0.5:1,"', "[]", "[1]", "[[]]", "{}", '{"a": 1}', '"\\ud800"'),
    *("[" * 900 + "]" * 900, "[" * 99_999 + "]" * 99_999, json.dumps(CONTROL)),
    *("[4, 4]", "[999999999]", f"[{'1, ' * 99_999}1]", json.dumps("x" * 99_999)),
)
FRAGMENTS = st.one_of(
    st.sampled_from(_FRAGMENTS),
    st.integers().map(str),
    st.floats().map(json.dumps),
    st.text().map(json.dumps),
)
"""What may be put into the JSON of a column."""


def changed_json(draw: Draw, value: Any) -> str:
    """Put a fragment somewhere into a value, and write it as JSON."""
    holders: list[tuple[Any, Any]] = []

    def collect(inner: Any) -> None:
        items = inner.items() if isinstance(inner, dict) else enumerate(inner)
        for key, item in list(items):
            holders.append((inner, key))
            if isinstance(item, dict | list):
                collect(item)

    collect(value)
    if not holders:
        return draw(FRAGMENTS)
    holder, key = draw(st.sampled_from(holders))
    fragment, mark = draw(FRAGMENTS), "@here@"
    if isinstance(holder, dict) and draw(st.integers(0, 9)) == 0:
        holder[draw(st.text(st.characters(exclude_categories=["Cs"])))] = mark
    else:
        holder[key] = mark
    return json.dumps(value).replace(json.dumps(mark), fragment)


def printed(*parts: Any) -> str:
    console = PlainConsole(file=io.StringIO(), width=100)
    for part in parts:
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def attempt(program: Callable[[], str]) -> None:
    """Run a program: it works, or says why not in one line."""
    try:
        text = program().replace("\n", "")
    except BqnnError as error:
        text = str(error)
        assert text.isprintable() and len(text) < 2000, text
    else:
        assert not HARMFUL.search(text), text

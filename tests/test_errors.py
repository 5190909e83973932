"""Texts that are not ours, on one line and without what acts on a terminal."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqnn.errors import BqnnError, one_line, printable, quote

# C0, DEL, C1, line and paragraph separators, changes of direction, surrogates.
HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe 5 % [red]", "größe 5 % [red]"),
        ("\x1b]0;mine\x07", r"\x1b]0;mine\x07"),
        ("a\tb\nc\rd\x7f", r"a\tb\nc\rd\x7f"),
        ("\x9b2J\u202eexe.\ud800\u2028", r"\x9b2J\u202eexe.\ud800\u2028"),
    ],
)
def test_what_acts_on_a_terminal_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_several_lines_become_one() -> None:
    assert one_line(" a\n  b\x1b[2J\r\nc ") == r"a b\x1b[2J c"
    assert str(BqnnError("a\nb \x1b[2J")) == r"a b \x1b[2J"


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_harms(text: str) -> None:
    for shown in (printable(text), str(BqnnError(text)), quote(text)):
        assert not HARMFUL.search(shown)


def test_what_cannot_be_written_is_quoted_by_its_type() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert quote(deep) == "list(...)"
    assert quote(10**10_000) == "int(...)"
    assert quote("x" * 100) == f"'{'x' * 56}..."

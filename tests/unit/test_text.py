"""Names from files in messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.text import LIMIT, aligned, listed, nearest, plural, shown


@given(st.text(max_size=1000) | st.binary(max_size=1000))
def test_shown_is_one_printable_line_of_limited_length(name):
    text = shown(name)
    assert len(text.splitlines()) <= 1
    assert len(text) <= LIMIT * 10
    assert not any(c in text for c in "\x00\x1b\r\n\u202e\u200b\u2066\u2028")


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=LIMIT))
def test_ordinary_names_stay(name):
    assert shown(name) == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\r\nb", "a\\x0d\\x0ab"),
        ("\u202ecba", "\\u202ecba"),
        ("a\u200bb", "a\\u200bb"),
        ("\U000e0001", "\\U000e0001"),
        ("\ud800", "\\ud800"),
        ("größe", "größe"),
        (7, "7"),
    ],
)
def test_control_and_invisible_characters_are_escaped(name, text):
    assert shown(name) == text


def test_long_names_keep_both_ends():
    text = shown("begin" + "x" * 1_000_000 + "end")
    assert len(text) == LIMIT
    assert text.startswith("begin")
    assert text.endswith("end")
    assert "…" in text
    assert shown("x" * LIMIT) == "x" * LIMIT


def test_listed():
    assert listed([]) == ""
    assert listed("ab") == "a, b"
    assert listed(range(7), most=3) == "0, 1, 2 and 4 more"
    assert listed(["a\n"]) == "a\\x0a"


def test_nearest():
    assert nearest("precison", ["precision", "workers"]) == " (did you mean precision?)"
    assert nearest("zzz", ["precision"]) == ""
    assert nearest("CONCAT", ["Cos", "Concat"]) == " (did you mean Concat?)"
    assert nearest("CNOCAT", ["Cos", "Concat"]) == " (did you mean Concat?)"


def test_plural():
    assert plural(1, "engine") == "1 engine"
    assert plural(0, "engine") == "0 engines"
    assert plural(12345, "node") == "12,345 nodes"


def test_aligned():
    table = aligned(("name", "ms"), [("a", "1.5"), ("long\n", "10")])
    assert table.splitlines() == [
        "name       ms",
        "--------  ---",
        "a         1.5",
        "long\\x0a   10",
    ]
    assert aligned(("a", "b"), []).splitlines() == ["a  b", "-  -"]

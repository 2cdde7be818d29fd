"""The Graph Transform Tool's syntax: what it means, what is wrong in it, and any text at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.errors import InputError
from retrain_tools.graphdef.transforms.parse import Call, parse_transforms


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("a", [Call("a")]),
        ("a b()  c( )\n", [Call("a"), Call("b"), Call("c")]),
        ("a(x=1)b", [Call("a", (("x", "1"),)), Call("b")]),
        ("a ( x = 1 , y=-2.5 )", [Call("a", (("x", "1"), ("y", "-2.5")))]),
        ('a(shape="1,299,299,3")', [Call("a", (("shape", "1,299,299,3"),))]),
        ("a(x='(\"', y=\"it's\")", [Call("a", (("x", '("'), ("y", "it's")))]),
        (r'a(x="\"\\\d")', [Call("a", (("x", '"\\\\d'),))]),
        ('a(x="")', [Call("a", (("x", ""),))]),
        ("a(op=B, op=C)", [Call("a", (("op", "B"), ("op", "C")))]),
        ("a(name=^scope/conv:0)", [Call("a", (("name", "^scope/conv:0"),))]),
        ("\\\n  a(x=1) \\\n  b\\\n", [Call("a", (("x", "1"),)), Call("b")]),
    ],
)  # fmt: skip
def test_what_it_means(text: str, calls: list[Call]) -> None:
    assert parse_transforms(text) == calls


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "transforms names none; see --list."),
        (" \\\n", "transforms names none; see --list."),
        (
            "a, b",
            "transforms cannot be read at ', b', after 'a': the name of a transform was expected; "
            "only white space separates transforms.",
        ),
        (
            "a(x=1",
            "transforms cannot be read at the end, after 'a(x=1': the parenthesis of a is not "
            "closed.",
        ),
        (
            "a(",
            "transforms cannot be read at the end, after 'a(': the parenthesis of a is not closed.",
        ),
        (
            "a(1,2,3)",
            "transforms cannot be read at ',2,3)', after 'a(1': after 1 an = was expected: "
            "a(1=VALUE).",
        ),
        (
            "a(=1)",
            "transforms cannot be read at '=1)', after 'a(': the name of an argument of a was "
            "expected.",
        ),
        (
            'a(shape="1,2)',
            "transforms cannot be read at '\"1,2)', after 'a(shape=': the quote after a(shape= is "
            "not closed.",
        ),
        (
            "a(x=)",
            "transforms cannot be read at ')', after 'a(x=': after a(x= a value was expected; an "
            'empty one is "".',
        ),
        (
            "a(x=1 2)",
            "transforms cannot be read at '2)', after 'a(x=1': a comma or ) was expected; a value "
            'with other characters than letters, digits and punctuation goes in quotes, x="…".',
        ),
    ],
)
def test_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_transforms(text)
    assert str(raised.value) == message


NAMES = st.text("abcXYZ019_", min_size=1, max_size=6)
CALLS = st.builds(
    Call, NAMES, st.lists(st.tuples(NAMES, st.text(max_size=8)), max_size=3).map(tuple)
)


@given(st.lists(CALLS, min_size=1, max_size=4))
def test_what_is_written_is_read_as_it_was(calls: list[Call]) -> None:
    assert parse_transforms(" ".join(map(str, calls))) == calls


@given(st.text(st.sampled_from(list("ab1_(),=\"'\\ \n:/")) | st.characters(), max_size=40))
@settings(max_examples=500)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        calls = parse_transforms(text)
    except InputError as error:
        assert str(error).startswith("transforms ")
    else:
        assert parse_transforms(" ".join(map(str, calls))) == calls

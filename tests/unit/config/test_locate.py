from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.config.locate import DEPTH_MAX, VALUES_MAX, TooComplexError, locate
from support.toml_texts import Path, toml_texts


def paths_of(value: Any, above: Path = ()) -> Iterator[Path]:
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for part, inner in parts:
        yield (*above, part)
        if isinstance(inner, dict | list):
            yield from paths_of(inner, (*above, part))


@given(toml_texts())
def test_every_key_of_a_document_is_found_on_its_own_line(
    written: tuple[str, dict[Path, int]],
) -> None:
    text, lines = written
    assert set(paths_of(tomllib.loads(text))) == set(lines)
    assert locate(text).lines == lines


@given(st.text(st.sampled_from("ab.=[]{}\"'\\#\n\r\t ,1"), max_size=60) | st.text(max_size=60))
def test_a_text_that_is_no_toml_is_walked_as_far_as_it_goes(text: str) -> None:
    located = locate(text)
    assert all(1 <= line <= text.count("\n") + 1 for line in located.lines.values())
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(paths_of(values)) == set(located.lines)


def test_what_is_not_there_is_where_it_would_belong() -> None:
    located = locate('a = 1\n\n[[bay]]\nid = "x"\n\n[[bay]]\n\n[bay.more]\nrow = 1\n')
    assert located.line_of(("bay", 0, "row")) == 3
    assert located.line_of(("bay", 1, "row")) == 6
    assert located.line_of(("bay", 1, "more", "row")) == 9
    assert located.line_of(("bay", 1, "more", "column", 3)) == 8
    assert located.line_of(("nothing", "here")) == 1
    assert located.knows(("bay", 0, "id"))
    assert not located.knows(("bay", 1, "id"))


def test_a_table_stands_at_its_own_header_not_at_an_earlier_one_below_it() -> None:
    assert locate("[a.b]\nx = 1\n[a]\ny = 2\n").lines == {
        ("a",): 3,
        ("a", "b"): 1,
        ("a", "b", "x"): 2,
        ("a", "y"): 4,
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\n" + ".".join("a" * (DEPTH_MAX + 1)) + " = 1", 2),
        ("[" + ".".join("a" * DEPTH_MAX) + "]\nb = 1", 2),
        ("a = 1\nb = " + "[" * 100_000, 2),
        ("b = " + "{a=" * 100_000, 1),
        ("a = [\n" + "1,\n" * VALUES_MAX + "]", VALUES_MAX + 1),
    ],
)
def test_texts_that_tomllib_should_not_get_are_refused_with_their_line(
    text: str, line: int
) -> None:
    with pytest.raises(TooComplexError) as refused:
        locate(text)
    assert refused.value.line == line
    assert refused.value.code == "input.too-large"


def test_a_document_at_the_limits_is_located() -> None:
    deepest = ".".join("a" * DEPTH_MAX) + " = 1\n"
    assert len(locate(deepest).lines) == DEPTH_MAX
    assert len(locate("a = 1\n" * VALUES_MAX).lines) == 1

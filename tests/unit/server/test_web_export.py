"""CSV that a spreadsheet reads as text, whatever stands in it."""

from __future__ import annotations

import asyncio
import csv as reader
import io
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.server import export


async def rows_of(rows: Sequence[Sequence[str]]) -> AsyncIterator[Sequence[str]]:
    for row in rows:
        yield row


def made(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[bytes]:
    async def run() -> list[bytes]:
        return [piece async for piece in export.csv(header, rows_of(rows))]

    return asyncio.run(run())


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+49 40 1234",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\u3000=1",
        "＝1",
        '=HYPERLINK("http://x";"y")',
        "=cmd|' /C calc'!A0",
    ],
)
def test_no_formula_gets_in(text: str) -> None:
    (row,) = reader.reader(io.StringIO(export.cell(text)))
    assert row[0].startswith("'")


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_every_cell_comes_back_as_one_harmless_cell(cells: list[str]) -> None:
    found = list(reader.reader(io.StringIO(export.line(cells).decode(), newline="")))
    assert len(found) == 1
    assert len(found[0]) == len(cells)
    for given_text, cell in zip(cells, found[0], strict=True):
        assert not cell.startswith(tuple("=+-@\t\r\n"))
        assert cell.isprintable()
        if given_text.isascii() and given_text.isprintable():
            assert cell in {given_text, f"'{given_text}"}


def test_a_semicolon_or_quote_begins_no_other_cell() -> None:
    assert export.line(['a";=1', "b"]) == b'"a"";=1","b"\r\n'


def test_it_comes_in_pieces() -> None:
    pieces = made(["n"], [["x" * 1000]] * 500)
    assert len(pieces) > 5
    assert max(map(len, pieces)) < export.PIECE_BYTES + 2000
    assert b"".join(pieces).count(b"\r\n") == 501


def test_an_empty_result_still_has_its_header() -> None:
    assert made(["serial", "verdict"], []) == [b'"serial","verdict"\r\n']


def test_letters_of_other_languages_stay() -> None:
    assert "Müller & Söhne".encode() in export.line(["Müller & Söhne"])

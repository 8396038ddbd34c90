"""CSV for spreadsheets, in pieces, that no spreadsheet takes for a formula.

RFC 4180: UTF-8, a header line, CRLF, every cell in quotes (so that a separator or line break inside
one never begins another). A cell that begins as a formula would (= + - @ tab CR, and their
full-width forms) gets an apostrophe in front (CWE-1236); what cannot be printed is escaped.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence

from nullbay.domain.text import show

CONTENT_TYPE = "text/csv"
CELL_MAX = 4096
PIECE_BYTES = 64 * 1024
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def cell(text: str) -> str:
    """One cell in quotes, safe to open."""
    guarded = text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA)
    # `show` doubles backslashes to be unambiguous; a cell without oddities keeps its text.
    plain = text if text.isascii() and text.isprintable() else show(text, CELL_MAX)
    return '"' + ("'" if guarded else "") + plain[:CELL_MAX].replace('"', '""') + '"'


def line(cells: Sequence[str]) -> bytes:
    """One line with its end."""
    return (",".join(map(cell, cells)) + "\r\n").encode("utf-8", "replace")


async def csv(header: Sequence[str], rows: AsyncIterable[Sequence[str]]) -> AsyncIterator[bytes]:
    """The file in pieces of about 64 KiB: the whole is never in memory."""
    piece = bytearray(line(header))
    async for row in rows:
        piece += line(row)
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)

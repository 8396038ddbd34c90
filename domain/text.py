"""Strings that drives and people send: kept raw, shown safely.

A serial number may hold control characters, terminal escapes, shell metacharacters, bytes that
are no UTF-8, or nothing at all (reference/lab.md 5). The raw bytes are the evidence; what a
person sees is derived here, in one place.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

SHOWN_MAX_CHARACTERS = 64
RAW_MAX_BYTES = 1024
PADDING = b" \x00\t\r\n"
_ELLIPSIS = "…"
_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"


@dataclass(frozen=True, slots=True)
class RawText:
    """Text as a device gave it: `raw` bytes without the padding blanks and NULs, at most 1 KiB."""

    raw: bytes

    @classmethod
    def of(cls, given: bytes | str) -> RawText:
        """Strip the padding the standards prescribe and cap the length."""
        return cls(
            (given if isinstance(given, bytes) else _encoded(given))[:RAW_MAX_BYTES].strip(PADDING)
        )

    @property
    def shown(self) -> str:
        """Printable, at most 64 characters, unambiguous: what differs from the raw is escaped."""
        return show(self.raw)

    @property
    def is_plain(self) -> bool:
        """Whether a person can read and type it: printable ASCII, nothing escaped or cut."""
        return bool(self) and self.shown.encode() == self.raw and self.raw.isascii()

    def __bool__(self) -> bool:
        """Whether anything but padding is there."""
        return bool(self.raw.strip(PADDING))


def show(raw: bytes | str, limit: int = SHOWN_MAX_CHARACTERS) -> str:
    r"""Printable form of at most `limit` characters, cut with an ellipsis.

    Two raws that are not cut never look the same: a backslash is doubled, a byte that is no UTF-8
    and an ASCII control is \xNN, anything else a person could not tell by eye is \uNNNN: control,
    format, private and combining characters, blanks that are no space, letters written from right
    to left (they would reorder what stands beside them), the ellipsis. Safe on a terminal, in a
    log line and in a document (which still escapes its own markup).
    """
    text = raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else raw
    shown = ""
    for position, character in enumerate(text):
        part = _part(character)
        if len(shown) + len(part) >= limit:
            rest = part + "".join(map(_part, text[position + 1 : position + 1 + limit]))
            return shown + (rest if len(shown) + len(rest) <= limit else _ELLIPSIS)
        shown += part
    return shown


def _encoded(given: str) -> bytes:
    """The bytes a string stands for: those that surrogateescape carried, else UTF-8."""
    try:
        return given.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return given.encode("utf-8", "surrogatepass")


def _part(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if _is_printable(character):
        return character
    point = ord(character)
    if 0xDC80 <= point <= 0xDCFF:  # a byte that surrogateescape carried
        return f"\\x{point - 0xDC00:02x}"
    if point < 0x80:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def _is_printable(character: str) -> bool:
    return (
        character.isprintable()
        and unicodedata.category(character)[0] != "M"
        and unicodedata.bidirectional(character) not in {"R", "AL", "AN"}
        and character not in _BLANK_LETTERS + _ELLIPSIS
    )

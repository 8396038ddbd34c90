"""What the printed record is made of: labelled values, tables and notes, of finished safe text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from nullbay.certs import pdf_words as words

ROWS_MAX = 400
DETAILS_MAX = 64
DASH = "–"

Style: TypeAlias = Literal["plain", "mono", "serial", "absent"]


@dataclass(frozen=True, slots=True)
class Fact:
    """A label and what is said about it: `mono` for identifiers, `absent` if nothing was said."""

    label: str
    value: str
    style: Style = "plain"


@dataclass(frozen=True, slots=True)
class Facts:
    """Labelled values, one below the other."""

    kind: ClassVar[str] = "facts"
    rows: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: share of the width, right-aligned for numbers, mono for identifiers."""

    title: str
    share: int
    right: bool = False
    mono: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under column titles; `more` says what was left out."""

    kind: ClassVar[str] = "table"
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    more: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph."""

    kind: ClassVar[str] = "note"
    text: str


Block: TypeAlias = Facts | Table | Note


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of the annex."""

    title: str
    blocks: tuple[Block, ...]


def fact(label: str, text: str, style: Style = "plain", limit: int = 4000) -> Fact:
    """A fact in safe text; an empty one is said to be not stated."""
    if not text:
        return Fact(label, words.NOT_STATED, "absent")
    return Fact(label, words.shown(text, limit), style)


def table(
    columns: tuple[Column, ...], rows: Sequence[tuple[str, ...]], most: int = ROWS_MAX
) -> Table:
    """A table of the first rows, saying how many are left out."""
    left = len(rows) - most
    more = f"{words.counted(left, 'more row')} in the signed record." if left > 0 else ""
    return Table(columns, tuple(rows[:most]), more)


def listed(items: Sequence[str], most: int = 10) -> str:
    """The first of a list, and how many more there are."""
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more

"""What commands print: JSON objects with a schema, or plain words; never both at once."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from nullbay.domain.text import show
from nullbay.domain.verdict import Verdict

MARKS = {
    Verdict.SANITIZED: ("✔", "32"),
    Verdict.SANITIZED_WITH_EXCEPTIONS: ("◆", "33"),
    Verdict.NOT_SANITIZED: ("✘", "31"),
    Verdict.INDETERMINATE: ("?", "31"),
}


def emit(schema: str, **fields: Any) -> None:
    """One JSON object on one line of standard output."""
    sys.stdout.write(
        json.dumps({"schema": f"nullbay.{schema}/1", **fields}, ensure_ascii=False) + "\n"
    )
    sys.stdout.flush()


def say(text: str = "") -> None:
    """A line for a person, on standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A line beside the output: progress, hints, errors."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def painted(text: str, colour: str) -> str:
    """Coloured where standard output is a terminal."""
    return f"\x1b[1;{colour}m{text}\x1b[0m" if sys.stdout.isatty() else text


def verdict_words(verdict: Verdict) -> str:
    """Shape, colour and word."""
    mark, colour = MARKS[verdict]
    return painted(f"{mark} {verdict.value}", colour)


def size_words(count: int) -> str:
    """Bytes in decimal units, three digits."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if value < 1000 or unit == "PB":
            break
        value /= 1000
    return (
        f"{count} B"
        if unit == "B"
        else f"{value:.3g} {unit}"
        if value < 1000
        else f"{value:.0f} {unit}"
    )


def duration_words(seconds: int) -> str:
    """`3 h 20 min`, `4 min 5 s`, `12 s`."""
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, or one below the other on a narrow terminal.

    Cells are made safe for a terminal.
    """
    lines = [[show(cell, 60) for cell in row] for row in rows]
    widths = [max(len(row[n]) for row in [list(head), *lines]) for n in range(len(head))]
    if sum(widths) + 2 * len(widths) > shutil.get_terminal_size((1000, 24)).columns:
        return "\n\n".join(_standing(head, row) for row in lines)

    def line(row: Sequence[str]) -> str:
        return "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()

    return "\n".join([line(head), line(["-" * width for width in widths]), *map(line, lines)])


def _standing(head: Sequence[str], row: Sequence[str]) -> str:
    width = max(len(name) for name in head)
    pairs = zip(head, row, strict=True)
    return "\n".join(f"{name.ljust(width)}  {cell}" for name, cell in pairs if cell != "-")

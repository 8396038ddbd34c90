"""What commands print: JSON objects with a schema, or plain words; never both at once."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from nullbay.domain.text import show
from nullbay.domain.verdict import Verdict

MARKS = {
    Verdict.SANITIZED: ("✔", "32"),
    Verdict.SANITIZED_WITH_EXCEPTIONS: ("◆", "33"),
    Verdict.NOT_SANITIZED: ("✘", "31"),
    Verdict.INDETERMINATE: ("?", "31"),
}


def be_robust() -> None:
    """Whoever reads may have no UTF-8, or leave: neither may end a wipe that is under way."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _write(stream: TextIO | None, text: str) -> None:
    """To whoever still listens; a stream that was closed before we began is None."""
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def is_watched() -> bool:
    """Whether standard error is a terminal, so that progress may be drawn in place."""
    return sys.stderr is not None and sys.stderr.isatty()


def draw(text: str) -> None:
    """Part of a picture on standard error."""
    _write(sys.stderr, text)


def emit(schema: str, **fields: Any) -> None:
    """One JSON object on one line of standard output."""
    line = json.dumps({"schema": f"nullbay.{schema}/1", **fields}, ensure_ascii=False)
    _write(sys.stdout, line + "\n")


def say(text: str = "") -> None:
    """A line for a person, on standard output."""
    _write(sys.stdout, text + "\n")


def note(text: str) -> None:
    """A line beside the output: progress, hints, errors."""
    _write(sys.stderr, text + "\n")


def painted(text: str, colour: str) -> str:
    """Coloured where standard output is a terminal."""
    return (
        f"\x1b[1;{colour}m{text}\x1b[0m" if sys.stdout is not None and sys.stdout.isatty() else text
    )


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
    lines = [[cell if cell.isprintable() else show(cell) for cell in row] for row in rows]
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


def verify_command(records: Path, keys: Path) -> str:
    """What to type to check records, with the program as it was called and both keys."""
    called = sys.argv[0] if Path(sys.argv[0]).name == "nullbay" else "nullbay"
    words = [called, "cert", "verify", str(records)]
    for name in ("station.pub.pem", "bench.pub.pem"):
        words += ["--trust", str(keys / name)]
    return shlex.join(words)

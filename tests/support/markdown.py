"""Just enough markdown to hold documents against code."""

from __future__ import annotations

import re


def table(text: str, first_header: str) -> list[list[str]]:
    """The rows, cells stripped, of all tables whose first column has that header."""
    rows: list[list[str]] = []
    inside = False
    before = ""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.lstrip().startswith("|"):
            inside = False
        elif re.fullmatch(r"[|\s:-]+", line):
            inside = before == first_header
        elif inside:
            rows.append(cells)
        before = cells[0]
    return rows


def sections(text: str) -> dict[str, str]:
    """What stands under each heading, down to the next heading of any level."""
    found: dict[str, str] = {}
    heading = ""
    for line in text.splitlines():
        if match := re.match(r"#+\s+(.*)", line):
            heading = match[1].strip().strip("`")
            found.setdefault(heading, "")
        else:
            found[heading] = found.get(heading, "") + line + "\n"
    return found

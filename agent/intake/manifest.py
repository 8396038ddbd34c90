"""A customer's manifest: a CSV file from anywhere, read strictly, with everything wrong told.

A file with any problem is not taken: half a manifest would account for half a lot. Warnings are
told and change nothing. Nothing is guessed: not the encoding, not the separator, not a digit.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nullbay.config.aliases import folded
from nullbay.config.intake_rules import Column, column_key, manifest_columns
from nullbay.domain.intake import ManifestRow
from nullbay.domain.text import show

BYTES_MAX = 10 * 1024 * 1024
LINES_MAX = 100_000
LINE_MAX = 4096
COLUMNS_MAX = 200
REMARKS_MAX = 100
NAME_MAX = 120
_CELL_MAX: Mapping[Column, int] = {Column.SERIAL: 64, Column.ASSET_TAG: 64, Column.MODEL: 120}
_WORD: Mapping[Column, str] = {
    Column.SERIAL: "serial",
    Column.ASSET_TAG: "asset tag",
    Column.MODEL: "model",
}
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
_LINE_END = re.compile(r"\r\n|\n|\r")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_FORMULA = frozenset("=+-@")
_ROUNDED = re.compile(r"[0-9]+(?:[.,][0-9]+E[+-]?[0-9]{1,3}|E[+-][0-9]{1,3})", re.IGNORECASE)
_PERHAPS_ROUNDED = re.compile(r"[0-9]E[0-9]{1,3}", re.IGNORECASE)
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_ENCODING = "Save it as UTF-8 (in a spreadsheet: CSV UTF-8)"


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a line of the file, from 1; 0 is the file as a whole."""

    line: int
    text: str

    def told(self) -> str:
        """One line for a person."""
        return f"line {self.line}: {self.text}" if self.line else self.text


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a file held. With any problem `rows` is empty: it is not taken.

    `lines` counts lines with a drive. At most 100 problems and 100 warnings are told.
    """

    name: str
    sha256: str
    lines: int
    rows: tuple[ManifestRow, ...]
    problems: tuple[Remark, ...]
    warnings: tuple[Remark, ...]


class _UnfitError(Exception):
    """The file as a whole cannot be read further."""

    def __init__(self, text: str, line: int = 0) -> None:
        super().__init__(text)
        self.line = line


def parse_manifest(data: bytes, name: str = "") -> Manifest:
    """Read a manifest. Never raises for what a file may hold.

    Whoever receives it caps it at `BYTES_MAX` before reading; more is refused here too.
    """
    digest = hashlib.sha256(data).hexdigest()
    shown = show(name, NAME_MAX)
    reading = _Reading()
    try:
        reading.read(data)
    except _UnfitError as error:
        reading.problem(error.line, str(error))
    rows = () if reading.problems else tuple(reading.rows)
    count = len(reading.rows)
    problems, warnings = _capped(reading.problems), _capped(reading.warnings)
    return Manifest(shown, digest, count, rows, problems, warnings)


def _capped(remarks: list[Remark]) -> tuple[Remark, ...]:
    told = sorted(remarks, key=lambda one: one.line)
    if len(told) <= REMARKS_MAX:
        return tuple(told)
    more = Remark(0, f"and {len(told) - REMARKS_MAX} more that are not told here")
    return (*told[:REMARKS_MAX], more)


class _Reading:
    """One file as it is read."""

    def __init__(self) -> None:
        self.rows: list[ManifestRow] = []
        self.problems: list[Remark] = []
        self.warnings: list[Remark] = []
        self._seen: dict[tuple[Column, str], int] = {}

    def problem(self, line: int, text: str) -> None:
        self.problems.append(Remark(line, text))

    def warn(self, line: int, text: str) -> None:
        self.warnings.append(Remark(line, text))

    def read(self, data: bytes) -> None:
        lines = _lines(_decoded(data))
        start, separator = _separator(lines)
        header = _cells(lines[start], separator, start + 1)
        places = self._columns(header, start + 1)
        for number, line in enumerate(lines[start + 1 :], start + 2):
            if not line.strip(" \t,;"):
                continue
            try:
                cells = _cells(line, separator, number)
            except _UnfitError as error:
                self.problem(number, str(error))
                continue
            if len(cells) != len(header):
                text = f"has {len(cells)} cells where the first line has {len(header)}"
                self.problem(number, text)
                continue
            self._row(number, {column: cells[place] for column, place in places.items()})
        if not self.rows and not self.problems:
            self.problem(0, "holds no drive: there is nothing below the line of column names")
        self._zeros()

    def _columns(self, header: list[str], line: int) -> dict[Column, int]:
        """Where each known column stands. A meaning given twice is a problem."""
        places: dict[Column, int] = {}
        unused = []
        for place, cell in enumerate(header):
            column = manifest_columns().get(column_key(cell))
            if column is None:
                unused.append(cell)
            elif column in places:
                first = header[places[column]]
                self.problem(
                    line,
                    f'columns "{show(first)}" and "{show(cell)}" both mean {_WORD[column]}:'
                    " keep one",
                )
            else:
                places[column] = place
        if given := [cell for cell in unused if cell.strip()]:
            names = ", ".join(f'"{show(cell, 40)}"' for cell in given[:10])
            self.warn(line, f"these columns are not used: {names}")
        return places

    def _row(self, line: int, cells: dict[Column, str]) -> None:
        kept = {column: cell.strip(" \u00a0") for column, cell in cells.items()}
        sound = [self._cell(line, column, cell) for column, cell in kept.items()]
        row = ManifestRow(
            line,
            kept.get(Column.SERIAL, ""),
            kept.get(Column.ASSET_TAG, ""),
            kept.get(Column.MODEL, ""),
        )
        if not row.serial and not row.asset_tag:
            self.problem(line, "has neither a serial nor an asset tag")
            return
        if not row.serial and Column.SERIAL in kept:
            self.warn(line, "has no serial: the drive is expected by its asset tag alone")
        if all(sound):
            self._once(line, Column.SERIAL, folded(row.serial))
            self._once(line, Column.ASSET_TAG, row.asset_tag)
        self.rows.append(row)

    def _cell(self, line: int, column: Column, cell: str) -> bool:
        """Whether the text of a used cell may be kept."""
        word = _WORD[column]
        if len(cell) > _CELL_MAX[column]:
            self.problem(line, f"the {word} has more than {_CELL_MAX[column]} characters")
            return False
        if any(unicodedata.category(one) in _UNSEEN for one in cell):
            text = f'the {word} "{show(cell, 40)}" holds a character that cannot be seen'
            self.problem(line, text)
            return False
        if cell[:1] in _FORMULA and cell[:1]:
            text = f'the {word} "{show(cell, 40)}" begins like a formula; it is kept as text'
            self.warn(line, text)
        if column is not Column.SERIAL:
            return True
        if "," in cell or ";" in cell:
            text = f'the serial "{show(cell, 40)}" holds a separator: several cells in one?'
            self.problem(line, text)
            return False
        if not cell.isascii():
            text = f'the serial "{show(cell, 40)}" holds a character that no drive gives'
            self.problem(line, text)
            return False
        if _ROUNDED.fullmatch(cell):
            text = f'the serial "{cell}" was rounded by a spreadsheet: its digits are lost'
            self.problem(line, text)
            return False
        if _PERHAPS_ROUNDED.fullmatch(cell):
            self.warn(line, f'the serial "{cell}" looks like a number a spreadsheet has rounded')
        return True

    def _once(self, line: int, column: Column, text: str) -> None:
        if not text:
            return
        first = self._seen.setdefault((column, text), line)
        if first != line:
            shown = show(text, 40)
            self.problem(line, f'the {_WORD[column]} "{shown}" stands in line {first} already')

    def _zeros(self) -> None:
        """Serials of digits alone that are shorter than most: spreadsheets drop leading zeros."""
        digits = [row for row in self.rows if row.serial.isascii() and row.serial.isdigit()]
        lengths = Counter(len(row.serial) for row in digits)
        longest = max(lengths, default=0)
        if lengths[longest] < 3 or lengths[longest] * 2 <= len(digits):
            return
        for row in digits:
            if 0 < longest - len(row.serial) <= 3:
                text = f'the serial "{row.serial}" is shorter than the others: lost leading zeros?'
                self.warn(row.line, text)


def _decoded(data: bytes) -> str:
    if not data:
        raise _UnfitError("the file is empty")
    if len(data) > BYTES_MAX:
        raise _UnfitError(f"the file has more than {BYTES_MAX} bytes and was not read")
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise _UnfitError(f"the file is UTF-32. {_ENCODING}")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            raise _UnfitError(f"the file is damaged UTF-16. {_ENCODING}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte {data[error.start]:#04x} is not UTF-8; the file's encoding is not guessed."
        raise _UnfitError(f"{found} {_ENCODING}", line) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        said = "holds a NUL byte: damaged, or UTF-16 without a byte order mark."
        raise _UnfitError(f"{said} {_ENCODING}", line)
    return text


def _lines(text: str) -> list[str]:
    """The lines, capped before any of them is looked into."""
    lines = _LINE_END.split(text, maxsplit=LINES_MAX + 2)
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) > LINES_MAX + 1:
        raise _UnfitError(f"the file has more than {LINES_MAX} lines")
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_MAX:
            raise _UnfitError(f"has {len(line)} characters; at most {LINE_MAX} are read", number)
        if "\0" in line:
            raise _UnfitError("holds a NUL character", number)
    if not lines:
        raise _UnfitError("the file is empty")
    return lines


def _separator(lines: list[str]) -> tuple[int, str]:
    """Where the column names stand, and what separates them: the one separator that fits."""
    start = 0
    if match := _SEPARATOR_LINE.fullmatch(lines[0]):
        if match[1] not in _SEPARATORS or len(lines) == 1:
            raise _UnfitError("names a separator that is no comma, semicolon or tab", 1)
        return 1, match[1]
    while start < len(lines) - 1 and not lines[start].strip():
        start += 1
    fitting = {
        separator: known
        for separator in _SEPARATORS
        if (known := _known_columns(lines[start], separator, start + 1))
    }
    if not fitting:
        raise _UnfitError(
            'has no column that means "serial" or "asset tag", separated by comma, semicolon or'
            " tab. The first line holds the names of the columns",
            start + 1,
        )
    used = {separator for separator in fitting if separator in lines[start]}
    if len(used) > 1 and len({fitting[one] for one in used}) > 1:
        names = " or ".join(_SEPARATORS[one] for one in sorted(used))
        raise _UnfitError(f"is separated by {names}: it cannot be told which", start + 1)
    if len(used) > 1:
        names = " and ".join(_SEPARATORS[one] for one in sorted(used))
        raise _UnfitError(f"holds {names}: use one separator", start + 1)
    return start, next(iter(used or fitting))


def _known_columns(line: str, separator: str, number: int) -> frozenset[Column]:
    """The known columns with that separator; empty where neither serial nor tag is among them."""
    try:
        cells = _cells(line, separator, number)
    except _UnfitError:
        return frozenset()
    found = {manifest_columns().get(column_key(cell)) for cell in cells}
    known = frozenset(column for column in found if column is not None)
    return known if known & {Column.SERIAL, Column.ASSET_TAG} else frozenset()


def _cells(line: str, separator: str, number: int) -> list[str]:
    """One line's cells; quotes end on the line they begin on."""
    try:
        rows = list(_reader(line, separator))
    except csv.Error:
        raise _UnfitError(
            "has a quotation mark without its other one, or after it", number
        ) from None
    cells = rows[0] if rows else [""]
    if len(cells) > COLUMNS_MAX:
        raise _UnfitError(f"has more than {COLUMNS_MAX} cells", number)
    return cells


def _reader(line: str, separator: str) -> Iterator[list[str]]:
    return csv.reader([line], delimiter=separator, strict=True)

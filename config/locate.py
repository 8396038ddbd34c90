"""Where each key of a TOML text stands: tomllib gives values, never lines.

A walk over the text that knows tables, arrays of tables, dotted and quoted keys, inline tables and
lists, and strings of all four kinds. It judges nothing: where the text is not TOML it stops, and
tomllib says why. It runs before tomllib and bounds what tomllib is given, because the time that
needs grows with the square of a key's parts and its stack with the depth of brackets.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
from bisect import bisect_left
from dataclasses import dataclass

from nullbay.config.problems import KeyPath
from nullbay.domain.errors import TooLargeError

DEPTH_MAX = 16
VALUES_MAX = 50_000

# Unrolled rather than possessive: Python before 3.11.5 mismatches possessive groups with branches.
_BLANKS = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"[ \t\n]*(?:#[^\n]*[ \t\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
_BASIC_LINES = re.compile(r'"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"{3,5}', re.DOTALL)
_LITERAL_LINES = re.compile(r"'''[^']*(?:'(?!'')[^']*)*'{3,5}")
_SCALAR = re.compile(r"[^,\]}#\n]+")


class TooComplexError(TooLargeError):
    """Nested deeper than DEPTH_MAX, or more than VALUES_MAX values; `line` says where."""

    def __init__(self, line: int, message: str) -> None:
        """Say where and what."""
        super().__init__(message, next_step="Write it flatter, or as several files")
        self.line = line


@dataclass(frozen=True, slots=True)
class Locations:
    """The line of each key, counted from 1."""

    lines: dict[KeyPath, int]

    def line_of(self, path: KeyPath) -> int:
        """The line of the key, of the nearest thing that holds it, or the first line."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def knows(self, path: KeyPath) -> bool:
        """Whether the text gives exactly this key."""
        return path in self.lines

    def key_on(self, line: int) -> KeyPath:
        """The longest key that begins on a line; empty where none does."""
        return max((p for p, at in self.lines.items() if at == line), key=len, default=())


def locate(text: str) -> Locations:
    """Every key of a TOML text with its line; in a text that is not TOML, those before the fault.

    Raises TooComplexError beyond DEPTH_MAX or VALUES_MAX.
    """
    walker = _Walker(text.replace("\r\n", "\n"))
    with contextlib.suppress(_LostError):
        walker.walk()
    return Locations(walker.lines)


class _LostError(Exception):
    """Not TOML from here on."""


class _Walker:
    """One pass over one text. `lines` fills as it goes."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._last_place: dict[KeyPath, int] = {}
        self._headed: set[KeyPath] = set()
        self._values = 0

    def walk(self) -> None:
        """Statement by statement, each on lines of its own."""
        table: KeyPath = ()
        while self._skip(_BETWEEN) < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._statement(table)
            self._skip(_BLANKS)
            if self._at < len(self._text) and self._text[self._at] not in "#\n":
                raise _LostError

    def _header(self) -> KeyPath:
        """`[a.b]` or `[[a.b]]`: the path of the table that begins, places in lists included."""
        line = self._line()
        is_list = self._text.startswith("[[", self._at)
        self._at += 2 if is_list else 1
        parts = self._key(0)
        self._expect("]]" if is_list else "]")
        path: KeyPath = ()
        for number, part in enumerate(parts, 1):
            path = (*path, part)
            self.lines.setdefault(path, line)
            if is_list and number == len(parts):
                self._last_place[path] = self._last_place.get(path, -1) + 1
            if path in self._last_place:
                path = (*path, self._last_place[path])
                self.lines.setdefault(path, line)
        if not is_list and path not in self._headed:
            # `[a]` below `[a.b]`: its own header is the better place.
            self._headed.add(path)
            self.lines[path] = line
        return path

    def _statement(self, table: KeyPath) -> None:
        """`a.b = value`, at the top or in an inline table."""
        line = self._line()
        path = table
        for part in self._key(len(table)):
            path = (*path, part)
            self.lines.setdefault(path, line)
        self._expect("=")
        self._skip(_BLANKS)
        self._value(path)

    def _key(self, depth: int) -> list[str]:
        line = self._line()
        parts: list[str] = []
        while True:
            self._skip(_BLANKS)
            parts.append(self._key_part())
            if depth + len(parts) > DEPTH_MAX:
                raise TooComplexError(line, f"a key has more than {DEPTH_MAX} parts")
            self._skip(_BLANKS)
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1

    def _key_part(self) -> str:
        for form in (_BARE, _BASIC, _LITERAL):
            match = form.match(self._text, self._at)
            if match is not None:
                self._at = match.end()
                return match[0] if form is _BARE else _unquoted(match[0])
        raise _LostError

    def _value(self, path: KeyPath) -> None:
        self._values += 1
        if self._values > VALUES_MAX:
            raise TooComplexError(self._line(), f"more than {VALUES_MAX} values in one file")
        if len(path) > DEPTH_MAX:
            raise TooComplexError(self._line(), f"nested deeper than {DEPTH_MAX}")
        match self._text[self._at : self._at + 1]:
            case "[":
                self._list(path)
            case "{":
                self._inline_table(path)
            case '"':
                is_long = self._text.startswith('"""', self._at)
                self._take(_BASIC_LINES if is_long else _BASIC)
            case "'":
                is_long = self._text.startswith("'''", self._at)
                self._take(_LITERAL_LINES if is_long else _LITERAL)
            case _:
                self._take(_SCALAR)

    def _list(self, path: KeyPath) -> None:
        self._at += 1
        place = 0
        self._skip(_BETWEEN)
        while not self._text.startswith("]", self._at):
            self.lines[(*path, place)] = self._line()
            self._value((*path, place))
            place += 1
            self._skip(_BETWEEN)
            if not self._text.startswith(",", self._at):
                break
            self._at += 1
            self._skip(_BETWEEN)
        self._expect("]")

    def _inline_table(self, path: KeyPath) -> None:
        # TOML 1.1 allows line breaks and a last comma in here; whether they are allowed is for
        # the tomllib at hand to say.
        self._at += 1
        self._skip(_BETWEEN)
        while not self._text.startswith("}", self._at):
            self._statement(path)
            self._skip(_BETWEEN)
            if not self._text.startswith(",", self._at):
                break
            self._at += 1
            self._skip(_BETWEEN)
        self._expect("}")

    def _line(self) -> int:
        return bisect_left(self._newlines, self._at) + 1

    def _skip(self, what: re.Pattern[str]) -> int:
        match = what.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._at

    def _take(self, what: re.Pattern[str]) -> None:
        match = what.match(self._text, self._at)
        if match is None:
            raise _LostError
        self._at = match.end()

    def _expect(self, mark: str) -> None:
        if not self._text.startswith(mark, self._at):
            raise _LostError
        self._at += len(mark)


def _unquoted(part: str) -> str:
    """The name that a quoted part of a key spells; tomllib knows the escapes."""
    if part.startswith("'") or "\\" not in part:
        return part[1:-1]
    try:
        name = tomllib.loads(f"name = {part}")["name"]
    except (tomllib.TOMLDecodeError, ValueError):
        raise _LostError from None
    return str(name)

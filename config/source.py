"""One TOML file: read under a cap, decoded, located and parsed; every fault has its line."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import Any

from nullbay.config.locate import Locations, TooComplexError, locate
from nullbay.config.problems import (
    PROBLEMS_MAX,
    ConfigError,
    Flaw,
    KeyPath,
    Note,
    Problem,
    dotted,
    quoted,
)
from nullbay.domain.text import show

FILE_MAX_BYTES = 1024 * 1024
FILES_MAX = 256
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed file: its name for messages, its plain values, and where they stand.

    Fractions are `Decimal`, exactly as written.
    """

    file: str
    data: dict[str, Any]
    places: Locations

    def problem(self, flaw: Flaw) -> Problem:
        """A flaw of this file with its line."""
        line = self.places.line_of(flaw.path)
        return Problem(self.file, line, dotted(flaw.path), flaw.message, flaw.right)

    def note(self, path: KeyPath, message: str) -> Note:
        """Something worth knowing about a key of this file."""
        return Note(self.file, self.places.line_of(path), dotted(path), message)

    def refuse(self, flaws: Iterable[Flaw]) -> None:
        """Raise ConfigError if there is any flaw: a hundred at most, and whether there are more."""
        first = list(islice(flaws, PROBLEMS_MAX + 1))
        found = sorted({self.problem(flaw) for flaw in first[:PROBLEMS_MAX]})
        if len(first) > PROBLEMS_MAX:
            found.append(Problem(self.file, 0, "", "has more problems than are told here", ""))
        if found:
            raise ConfigError(found)


def read_source(path: Path) -> Source:
    """Read and parse one file of at most 1 MiB.

    Raises ConfigError naming file and line: unreadable, too large, not UTF-8, not TOML.
    """
    return parse_source(str(path), _read_capped(path))


def parse_source(file: str, raw: bytes) -> Source:
    """Parse the bytes of a file called `file` in messages. Raises ConfigError as `read_source`."""
    if len(raw) > FILE_MAX_BYTES:
        raise _too_large(file)
    text = _decode(file, raw)
    try:
        places = locate(text)
    except TooComplexError as error:
        raise ConfigError([Problem(file, error.line, "", str(error), error.next_step)]) from None
    try:
        data = tomllib.loads(text, parse_float=_fraction)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax(file, text, places, str(error))]) from None
    except (ValueError, RecursionError):
        # Beyond TOML's own errors: an integer of thousands of digits, brackets without end.
        message = "is beyond what can be read: a number of thousands of digits, or endless nesting"
        raise ConfigError([Problem(file, 1, "", message, "ordinary values")]) from None
    return Source(file, data, places)


def toml_files(directory: Path) -> list[Path]:
    """The `*.toml` files of a directory in name order, hidden ones not.

    Raises ConfigError where it cannot be listed or holds more than 256 of them.
    """
    try:
        found = sorted(
            (entry for entry in directory.iterdir() if entry.name.endswith(".toml")),
            key=lambda entry: os.fsencode(entry.name),
        )
    except OSError as error:
        raise ConfigError([_unreadable(str(directory), error, "a readable directory")]) from None
    found = [entry for entry in found if not entry.name.startswith(".")]
    if len(found) > FILES_MAX:
        message = f"holds {len(found)} files; at most {FILES_MAX} are read"
        raise ConfigError([Problem(str(directory), 0, "", message, "fewer, larger files")])
    return found


def require_schema(source: Source, wanted: str) -> None:
    """Nothing else of a file is judged before its schema is known.

    Raises ConfigError for a missing, unknown or newer one.
    """
    right = f'schema = "{wanted}"'
    given = source.data.get("schema")
    if "schema" not in source.data:
        source.refuse([Flaw(("schema",), "is missing", right)])
    if given != wanted:
        said = quoted(given) if isinstance(given, str) else "something that is no text"
        message = f"is {said}, which this build does not know here; nothing of the file was taken"
        source.refuse([Flaw(("schema",), message, right)])


def unread(error: Exception) -> str:
    """Why something could not be read, without its name."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"cannot be read: {show(reason, 120)}"


def _read_capped(path: Path) -> bytes:
    # O_NONBLOCK: opening a FIFO must not wait for somebody to write into it.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise ConfigError([_unreadable(str(path), error, "a readable file")]) from None
    try:
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - an open descriptor
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                message = "is not an ordinary file"
                raise ConfigError([Problem(str(path), 0, "", message, "a TOML file")])
            raw = b""
            while part := file.read(FILE_MAX_BYTES + 1 - len(raw)):
                raw += part
    except OSError as error:
        raise ConfigError([_unreadable(str(path), error, "a readable file")]) from None
    if len(raw) > FILE_MAX_BYTES:
        raise _too_large(str(path))
    return raw


def _decode(file: str, raw: bytes) -> str:
    if raw.startswith(_BYTE_ORDER_MARK):
        message = "begins with a byte order mark"
        raise ConfigError([Problem(file, 1, "", message, "UTF-8 without a byte order mark")])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"byte {raw[error.start]:#04x} is not UTF-8"
        raise ConfigError([Problem(file, line, "", message, "text saved as UTF-8")]) from None


def _syntax(file: str, text: str, places: Locations, said: str) -> Problem:
    match = _TOML_PLACE.search(said)
    line = int(match[1]) if match and match[1] else text.rstrip("\n").count("\n") + 1
    what = said[: match.start()] if match else said
    key = dotted(places.key_on(line))
    message = f"is not TOML: {show(what, 120)}"
    return Problem(file, line, key, message, "TOML 1.0, each key once")


def _fraction(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")


def _too_large(file: str) -> ConfigError:
    message = f"has more than {FILE_MAX_BYTES} bytes and was not read further"
    return ConfigError([Problem(file, 0, "", message, "several smaller files")])


def _unreadable(file: str, error: Exception, right: str) -> Problem:
    return Problem(file, 0, "", unread(error), right)

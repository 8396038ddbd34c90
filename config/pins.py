"""The station's own disks, pinned: `pins.toml` in the state directory, `nullbay.pins/1`.

Pinned disks are never targets, whatever is mounted (bench.md, The wrong disk).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from nullbay.config.problems import ConfigError, Flaw, Problem
from nullbay.config.source import read_source, require_schema, unread
from nullbay.config.tables import Right, Table, validated

SCHEMA = "nullbay.pins/1"
FILE_NAME = "pins.toml"
PINS_MAX = 256
_FIELD_MAX = 256


@dataclass(frozen=True, slots=True)
class Pin:
    """One disk of the station: wwn, serial and model as shown; empty where it has none."""

    wwn: str
    serial: str
    model: str


_Part = Annotated[
    str,
    StringConstraints(max_length=_FIELD_MAX),
    Right(f"a text of at most {_FIELD_MAX} characters"),
]


class _PinTable(Table):
    wwn: Annotated[_Part, Field(description="World-wide name")] = ""
    serial: Annotated[_Part, Field(description="Serial as shown")] = ""
    model: Annotated[_Part, Field(description="Model as shown")] = ""


class _PinsTable(Table):
    schema_name: Annotated[Literal["nullbay.pins/1"], Field(alias="schema"), Right(f'"{SCHEMA}"')]
    pin: Annotated[tuple[_PinTable, ...], Field(strict=False, max_length=PINS_MAX)] = ()


def read_pins(state: Path) -> tuple[Pin, ...]:
    """The pins of a state directory; none where nothing was pinned yet.

    Raises ConfigError where the file is there and cannot be taken in full: a lost pin could cost
    the station its own disk.
    """
    path = state / FILE_NAME
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, "", unread(error), "a readable file")]) from None
    source = read_source(path)
    require_schema(source, SCHEMA)
    table = validated(source, _PinsTable)
    pins = tuple(Pin(one.wwn, one.serial, one.model) for one in table.pin)
    source.refuse(_nameless(pins))
    return pins


def write_pins(state: Path, pins: Iterable[Pin]) -> None:
    """Replace the pins of a state directory; durable and complete, or unchanged.

    Raises ConfigError for a pin that names no disk, OSError where it cannot be written.
    """
    path = state / FILE_NAME
    given = tuple(dict.fromkeys(pins))
    flaws = list(_nameless(given))
    if len(given) > PINS_MAX:
        flaws.append(Flaw(("pin",), "is too long", f"at most {PINS_MAX} pins"))
    if any(len(part) > _FIELD_MAX for one in given for part in (one.wwn, one.serial, one.model)):
        flaws.append(Flaw(("pin",), "has a part that is too long", f"{_FIELD_MAX} characters"))
    if flaws:
        raise ConfigError(Problem(str(path), 0, "pin", flaw.message, flaw.right) for flaw in flaws)
    descriptor, temporary = tempfile.mkstemp(prefix=".pins-", dir=state)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - an open descriptor
            file.write(_rendered(given).encode())
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_directory(state)


def _nameless(pins: tuple[Pin, ...]) -> Iterator[Flaw]:
    for place, one in enumerate(pins):
        if not (one.wwn or one.serial):
            message = "names no disk: wwn and serial are both empty"
            yield Flaw(("pin", place), message, "a wwn, a serial, or both")


def _rendered(pins: tuple[Pin, ...]) -> str:
    lines = ["# Written by nullbay: the station's own disks, never wiped.", f'schema = "{SCHEMA}"']
    for one in pins:
        lines += ["", "[[pin]]", f"wwn = {_text(one.wwn)}"]
        lines += [f"serial = {_text(one.serial)}", f"model = {_text(one.model)}"]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A TOML basic string: everything but plain ASCII is escaped, a lone surrogate replaced."""
    parts = []
    for character in value.encode("utf-8", "replace").decode():
        point = ord(character)
        if character in '"\\':
            parts.append("\\" + character)
        elif 0x20 <= point < 0x7F:  # printable ASCII
            parts.append(character)
        else:
            parts.append(f"\\U{point:08x}")
    return '"' + "".join(parts) + '"'


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Descriptions of drives made of software as files, TOML or JSON: strict, capped, with defaults."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from nullbay.domain.codec import from_plain, to_plain
from nullbay.domain.errors import MalformedError, TooLargeError, UnknownSchemaError
from nullbay.domain.text import show
from nullbay.lab.description import SCHEMA, DescriptionError, DriveDescription

FILE_MAX_BYTES = 256 * 1024


def read_description(path: Path) -> DriveDescription:
    """The drive described in a `.toml` or `.json` file of at most 256 KiB.

    Keys that have a default may be left out; an unknown one is an error. Raises DescriptionError
    naming file and key, TooLargeError, UnknownSchemaError.
    """
    shown = show(path.name)
    try:
        with path.open("rb") as file:
            text = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise DescriptionError(
            f"{shown}: cannot be read: {error.strerror}",
            next_step="Give the path of a drive's description file; docs/lab.md shows one",
        ) from None
    if len(text) > FILE_MAX_BYTES:
        raise TooLargeError(
            f"{shown}: a description has at most {FILE_MAX_BYTES} bytes",
            next_step="Give fewer spans, or wider ones",
        )
    try:
        plain: Any = (
            json.loads(text) if path.suffix == ".json" else tomllib.loads(text.decode("utf-8"))
        )
    except (ValueError, RecursionError) as error:
        raise DescriptionError(f"{shown}: {error}"[:300], next_step="Mend the file") from None
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if schema != SCHEMA:
        raise UnknownSchemaError(
            f'{shown}: expected schema = "{SCHEMA}"', next_step="docs/lab.md has the format"
        )
    try:
        return from_plain(DriveDescription, _filled(DriveDescription, plain), "")
    except MalformedError as error:
        told = re.sub(r"^\.", "", str(error)).removeprefix(": ")
        raise DescriptionError(
            f"{shown}: {told}"[:300], next_step="docs/lab.md has every key and its meaning"
        ) from None


def write_description(path: Path, description: DriveDescription) -> None:
    """Write it as JSON; `read_description` gives the same value again."""
    path.write_text(json.dumps(to_plain(description), indent=1) + "\n", encoding="utf-8")


def _filled(hint: Any, plain: Any) -> Any:
    """With defaults where keys were left out; what is wrong stays for the reader to tell."""
    arms = [arm for arm in get_args(hint) if arm is not NoneType]
    if isinstance(plain, list) and get_origin(hint) is tuple:
        return [_filled(arms[0], item) for item in plain]
    if not isinstance(hint, type) and len(arms) == 1:
        return _filled(arms[0], plain)
    if not (isinstance(plain, dict) and dataclasses.is_dataclass(hint)):
        return plain
    hints = get_type_hints(hint)
    filled = {
        field.name: to_plain(field.default)
        for field in dataclasses.fields(hint)
        if field.default is not dataclasses.MISSING
    }
    return filled | {key: _filled(hints.get(key), item) for key, item in plain.items()}

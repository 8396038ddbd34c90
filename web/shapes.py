"""The shape of what is sent: JSON Schema that is true to the codec, and bounds on what comes in.

Types are the frozen dataclasses that `domain.codec` reads and writes. Bounds stand in their hints:
`Annotated[str, Text(64)]`, `Annotated[int, Number(1, 1000)]`, `Annotated[tuple[X, ...], Items(9)]`.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from nullbay.domain.canonical import SAFE_INTEGER_MAX
from nullbay.domain.codec import Wire
from nullbay.domain.errors import MalformedError

DECIMAL_PATTERN = r"^(0|[1-9][0-9]{0,19})$"
HEX_PATTERN = "^([0-9a-f]{2})*$"
COMPONENTS = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Text:
    """Bounds of a string, lengths in characters. `pattern` is anchored by whoever writes it.

    Write patterns that Python and ECMAScript read alike: `^`, `$`, classes, counts.
    """

    max_length: int
    min_length: int = 0
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Number:
    """Bounds of an integer, both included."""

    minimum: int
    maximum: int


@dataclass(frozen=True, slots=True)
class Items:
    """The most members a list may have."""

    maximum: int


Bound = Text | Number | Items


def within(hint: Any, value: Any, path: str = "$") -> None:
    """Check a value that the codec has read against the bounds in its type.

    Raises MalformedError naming the path of the first thing out of bounds.
    """
    if value is None:
        return
    hint = unwrapped(hint)
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        for note in notes:
            _require_bound(note, value, path)
        within(inner, value, path)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for name, inner in hints_of(type(value)).items():
            within(inner, getattr(value, name), f"{path}.{name}")
    elif isinstance(value, tuple) and (args := get_args(hint)):
        for number, item in enumerate(value):
            within(args[0] if args[-1] is Ellipsis else args[number], item, f"{path}[{number}]")


def _require_bound(note: Any, value: Any, path: str) -> None:
    match note:
        case Text(longest, shortest, pattern):
            if not shortest <= len(value) <= longest:
                raise MalformedError(f"{path}: expected {shortest} to {longest} characters")
            # `$` alone would let a newline follow.
            if pattern and (not re.search(pattern, value) or value.endswith("\n")):
                raise MalformedError(f"{path}: expected the form {pattern}"[:300])
        case Number(low, high):
            if not low <= value <= high:
                raise MalformedError(f"{path}: expected a number from {low} to {high}")
        case Items(most):
            if len(value) > most:
                raise MalformedError(f"{path}: expected at most {most} items")
        case _:
            return


class Schemas:
    """Collects the component schemas that a document refers to."""

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}
        self._names: dict[type, str] = {}

    def of(self, hint: Any) -> dict[str, Any]:
        """JSON Schema (draft 2020-12) of a type, as `to_plain` writes and `from_plain` reads it."""
        if hint is Any:
            return {}
        origin, args = get_origin(hint), get_args(hint)
        if origin is Annotated:
            return self._annotated(args)
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.of(arg) for arg in args]}
        if origin is tuple:
            return self._tuple(args)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self.of(args[1])}
        if hasattr(hint, "__supertype__"):
            return self.of(hint.__supertype__)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return self._reference(hint)
        return _plain(hint)

    def _annotated(self, args: tuple[Any, ...]) -> dict[str, Any]:
        if Wire.DECIMAL_STRING in args[1:]:
            return {"type": "string", "pattern": DECIMAL_PATTERN}
        schema = self.of(args[0])
        for note in args[1:]:
            match note:
                case Text(longest, shortest, pattern):
                    schema |= {"minLength": shortest, "maxLength": longest}
                    schema |= {"pattern": pattern} if pattern else {}
                case Number(low, high):
                    schema |= {"minimum": low, "maximum": high}
                case Items(most):
                    schema |= {"maxItems": most}
                case _:
                    continue
        return schema

    def _tuple(self, args: tuple[Any, ...]) -> dict[str, Any]:
        if len(args) == 2 and args[1] is Ellipsis:
            return {"type": "array", "items": self.of(args[0])}
        count = len(args)
        return {
            "type": "array",
            "prefixItems": [self.of(arg) for arg in args],
            "minItems": count,
            "maxItems": count,
        }

    def _reference(self, cls: type) -> dict[str, Any]:
        if cls not in self._names:
            name = cls.__name__
            if name in self.components:
                msg = f"two types named {name} in one document"
                raise TypeError(msg)
            self._names[cls] = name
            self.components[name] = {}  # a type may hold itself
            self.components[name] = self._object(cls)
        return {"$ref": COMPONENTS + self._names[cls]}

    def _object(self, cls: type) -> dict[str, Any]:
        hints = hints_of(cls)
        properties: dict[str, Any] = {}
        if isinstance(kind := getattr(cls, "kind", None), str):
            properties["kind"] = {"const": kind}
        for field in dataclasses.fields(cls):
            if field.name == "schema" and isinstance(field.default, str):
                properties[field.name] = {"const": field.default}
            else:
                properties[field.name] = self.of(hints[field.name])
        return {
            "type": "object",
            "description": (cls.__doc__ or "").strip().split("\n", maxsplit=1)[0],
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }


def unwrapped(hint: Any) -> Any:
    """The type behind `| None` and behind a NewType."""
    while True:
        if get_origin(hint) in (Union, types.UnionType):
            rest = [arg for arg in get_args(hint) if arg is not types.NoneType]
            if len(rest) != 1:
                return hint
            hint = rest[0]
        elif hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        else:
            return hint


@cache
def hints_of(cls: type) -> dict[str, Any]:
    """The fields of a dataclass with their hints, annotations kept."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _plain(hint: Any) -> dict[str, Any]:
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"type": "string", "enum": [member.value for member in hint]}
    if hint is str:
        return {"type": "string"}
    if hint is bool:
        return {"type": "boolean"}
    if hint is int:
        return {"type": "integer", "minimum": -SAFE_INTEGER_MAX, "maximum": SAFE_INTEGER_MAX}
    if hint is bytes:
        return {"type": "string", "pattern": HEX_PATTERN}
    if hint is types.NoneType:
        return {"type": "null"}
    msg = f"no schema for {hint!r}"
    raise TypeError(msg)
